// The pages of dist/ in front of a running service, so that a page can be tried without building the program:
// node dev/proxy.mjs PORT http://127.0.0.1:8080
// Everything that is no file of dist/ goes to the service, its WebSocket too.

import { createServer, request as ask } from "node:http";
import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { extname, join, normalize } from "node:path";

const [port = "8091", service = "http://127.0.0.1:8080"] = process.argv.slice(2);
const to = new URL(service), dist = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "../dist");
const types = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".wasm": "application/wasm" };
/// The service answers pages of its own address only.
const headers_for = (headers) => ({ ...headers, host: to.host, ...(headers.origin ? { origin: to.origin } : {}) });

const server = createServer(async (request, response) => {
  const path = new URL(request.url, "http://proxy").pathname;
  const name = path === "/" ? "index.html" : path === "/console" ? "console.html" : normalize(path);
  const file = await readFile(join(dist, name)).catch(() => undefined);
  if (file) return void response.writeHead(200,
    { "content-type": types[extname(name)] ?? "application/octet-stream", "cache-control": "no-store",
      "access-control-allow-origin": "*" }).end(file);
  const onward = ask({ hostname: to.hostname, port: to.port, path: request.url, method: request.method,
    headers: headers_for(request.headers) }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  onward.on("error", (error) => response.writeHead(502, { "content-type": "text/plain" }).end(`${service}: ${error.message}`));
  request.pipe(onward);
});
server.on("upgrade", (request, socket, head) => {
  const onward = connect(Number(to.port), to.hostname, () => {
    const lines = Object.entries(headers_for(request.headers)).map(([name, value]) => `${name}: ${value}`);
    onward.write(`${request.method} ${request.url} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
    onward.write(head);
    onward.pipe(socket);
    socket.pipe(onward);
  });
  for (const end of [socket, onward]) end.on("error", () => (socket.destroy(), onward.destroy()));
});
server.listen(Number(port), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/ in front of ${service}`));
