// A stand-in for the service, to work on the pages without it: docs/protocol.md spoken by a made-up room that a camera walks
// through.
// node dev/mock_server.mjs [--port 8090] [--rate 8] [--flaky SECONDS] [--token T] [--empty] [--restart SECONDS] [--fill N]
//   [--corrupt] [--blast PATCHES_PER_S] [--short]

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { WebSocketServer } from "ws";
import { make_room } from "./mock_room.mjs";

const option = (name, fallback) => {
  const i = process.argv.indexOf(`--${name}`);
  return i < 0 ? fallback : process.argv[i + 1]?.startsWith("--") || process.argv[i + 1] === undefined ? true
    : process.argv[i + 1];
};
const port = Number(option("port", 8090)), rate = Number(option("rate", 8)), token = option("token", "");
const flaky_s = Number(option("flaky", 0)), restart_s = Number(option("restart", 0)), fill = Number(option("fill", 0));
const dist = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "../dist");
const types = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".wasm": "application/wasm" };
const now_ns = () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e6));

const room = await make_room();
const regions = new Map(), cameras = [], sessions = new Set(), aside = [];
let epoch = "", version = 0n, step = 0, keyframes_lately = [], handled = {};

function begin() {
  epoch = Math.random().toString(16).slice(2, 10);
  version = 0n;
  step = 0;
  regions.clear();
  cameras.length = 0;
  room.forget();
}

function header(r, payload_bytes) {
  const head = Buffer.alloc(56);
  head.writeUInt32LE(0x31505354, 0);
  head.writeUInt8(payload_bytes ? 0 : 1, 4);
  head.writeUInt8(1, 5);
  r.region.forEach((v, i) => head.writeInt32LE(v, 8 + 4 * i));
  head.writeUInt32LE(r.vertices, 20);
  head.writeBigUInt64LE(r.version, 24);
  head.writeBigUInt64LE(r.keyframe_ns, 32);
  head.writeBigUInt64LE(r.received_ns, 40);
  head.writeUInt32LE(r.triangles, 48);
  head.writeUInt32LE(payload_bytes, 52);
  return head;
}

function remesh(key, received_ns) {
  const region = key.split(",").map(Number), s = room.surface(region);
  const known = regions.get(key);
  if (!s.indices.length && !known) return;
  const r = { region, version: ++version, vertices: s.positions.length / 3, triangles: s.indices.length / 3,
    keyframe_ns: received_ns, received_ns, payload_bytes: 0 };
  let payload = Buffer.alloc(0);
  if (s.indices.length) payload = room.encode(s);
  if (option("corrupt", false) && version % 9n === 0n) payload = Buffer.concat([payload.subarray(0, 20), Buffer.alloc(40, 255)]);
  r.payload_bytes = payload.length;
  r.frame = Buffer.concat([header(r, payload.length), payload]);
  regions.set(key, r);
  for (const one of sessions) if (one.ready) one.lacks.add(key);
}

function keyframe() {
  const received = now_ns(), c = room.camera(step);
  for (const key of room.see(c.eye, c.ahead)) remesh(key, received);
  const entry = { id: `mock-${String(step).padStart(6, "0")}`, timestamp_ns: received.toString(), pose: c.pose };
  cameras.push(entry);
  if (cameras.length > 4000) cameras.shift();
  for (const one of sessions) if (one.ready) one.say({ type: "cameras", cameras: [entry] });
  keyframes_lately.push(Date.now());
  step++;
  if (step % 40 === 0) aside.push({ source: "shm:/slam3r_keyframe_", what: `mock-bad-${step}`,
    reason: "pose's scale is 200, not 0.01 to 100 (it is the length of the first three columns)", time_ns: received.toString() });
}

begin();
for (let i = 0; i < fill; i++) {
  const c = room.camera(step++);
  room.see(c.eye, c.ahead);
  cameras.push({ id: `mock-${i}`, timestamp_ns: now_ns().toString(), pose: c.pose });
}
if (fill) for (let x = -1; x < 6; x++) for (let y = -3; y < 1; y++)
  for (let z = -5; z < 1; z++) remesh([x, y, z].join(), now_ns());
if (!option("empty", false) && rate > 0) setInterval(keyframe, 1000 / rate);
/// Sends what is there again under new versions: as many patches as wished, at no cost here.
const blast = Number(option("blast", 0));
if (blast) setInterval(() => {
  const keys = live().map((r) => r.region.join());
  for (let i = 0; i < blast / 20; i++) {
    const key = keys[Math.floor(Math.random() * keys.length)],
      r = { ...regions.get(key), version: ++version, received_ns: now_ns() };
    r.frame = Buffer.concat([header(r, r.payload_bytes), r.frame.subarray(56)]);
    regions.set(key, r);
    for (const one of sessions) if (one.ready) one.lacks.add(key);
  }
}, 50);
if (restart_s) setInterval(() => { begin(); for (const one of sessions) one.socket.terminate(); }, 1000 * restart_s);
if (flaky_s) setInterval(() => { for (const one of sessions) one.socket.terminate(); }, 1000 * flaky_s);

const per_second = () => (keyframes_lately = keyframes_lately.filter((t) => Date.now() - t < 2000)).length / 2;
const triangles = () => [...regions.values()].reduce((n, r) => n + r.triangles, 0);
const live = () => [...regions.values()].filter((r) => r.triangles);

class session {
  constructor(socket) {
    this.socket = socket;
    this.lacks = new Set();
    this.flight = new Map();
    this.budget = 0;
    this.limit = 0;
    this.ready = false;
    socket.on("message", (data, binary) => this.hear(data, binary));
    socket.on("close", () => { sessions.delete(this); clearInterval(this.pump_); clearInterval(this.stats_); });
    socket.on("error", () => socket.terminate());
    this.say({ type: "hello", protocol: "tessera.v1", server: "tessera-mock 0.1", epoch, voxel_m: room.voxel_m,
      truncation_m: 3 * room.voxel_m, region_voxels: room.region_voxels, quantum_m: room.quantum_m });
    this.pump_ = setInterval(() => this.pump(), 15);
    this.stats_ = setInterval(() => this.stats(), 1000);
  }
  say(o) { this.socket.send(JSON.stringify(o)); }
  hear(data, binary) {
    let m;
    try { m = binary ? {} : JSON.parse(data.toString()); } catch { m = {}; }
    handled[m.type] = (handled[m.type] ?? 0) + 1;
    if (m.type === "subscribe") {
      this.limit = m.max_bits_per_s ?? 0;
      this.flight.clear();
      this.lacks = new Set(regions.keys());
      for (const [x, y, z, v] of m.epoch === epoch ? m.have : []) {
        const key = `${x},${y},${z}`, r = regions.get(key);
        if (r && r.version <= BigInt(v)) this.lacks.delete(key);
      }
      if (!this.ready) this.say({ type: "cameras", cameras: cameras.slice(-2000) });
      this.ready = true;
      this.stats();
      console.log(`subscribe: have ${m.have.length}, lacks ${this.lacks.size}, limit ${this.limit}`);
    } else if (m.type === "ack") for (const [x, y, z, v] of m.patches) this.flight.delete(`${x},${y},${z},${v}`);
    else if (m.type === "view") this.eye = m.position;
    else this.say({ type: "error", message: `unknown type "${m.type}"`, reference: String(m.type) });
  }
  stats() {
    if (this.ready) this.say({ type: "stats", keyframes: step, keyframes_per_s: per_second(), regions: live().length,
      triangles: triangles(), viewers: sessions.size, pending: this.lacks.size, set_aside: aside.length,
      ...(option("short", false) ? { shortage: "memory-cap 64 MiB is used up" } : {}), time_ns: now_ns().toString() });
  }
  pump() {
    if (this.limit) this.budget = Math.min(this.budget + (this.limit / 8) * 0.015, this.limit / 8);
    const window = this.limit ? Math.min(1 << 20, this.limit / 8) : 1 << 20;
    while (this.lacks.size) {
      const used = [...this.flight.values()].reduce((a, b) => a + b, 0);
      if (used >= window || (this.limit && this.budget <= 0)) return;
      const near = (k) => (this.eye ? Math.hypot(...regions.get(k).region.map((v, i) => (v + 0.5) * 1.92 - this.eye[i])) : 0);
      const key = [...this.lacks].reduce((a, b) => (near(b) < near(a) ? b : a));
      this.lacks.delete(key);
      const r = regions.get(key);
      this.budget -= r.frame.length;
      this.flight.set(`${key},${r.version}`, r.frame.length);
      this.socket.send(r.frame);
    }
  }
}

const handler = (message, n, p50, p99) => ({ message, handled: n, p50_s: p50, p99_s: p99, total_s: n * p50 * 1.2 });
const roles = () => {
  let id = 11;
  const one = (role, detail, mailbox, handlers, more = {}) => ({ role, id: id++, region: null, device: null,
    state: mailbox ? "busy" : "idle", detail, mailbox, handlers, restarts: 0, last_error: "", ...more });
  const deep = (n) => Math.max(0, Math.round(n * Math.random() - n * 0.4));
  return [
    one("ingest", "credit 14 of 16", deep(3), [handler("keyframe_view", step, 0.00021, 0.0009)]),
    one("partitioner", "2 keyframes in work", deep(4),
      [handler("keyframe_view", step, 0.0031, 0.0092), handler("retract", 3, 0.001, 0.002)]),
    one("placement", "1 node, 1 device", 0, [handler("place", regions.size, 0.00001, 0.00004)]),
    one("device", "CPU, 2 threads, pool 212 of 1024 MiB", deep(6),
      [handler("integrate", step * 4, 0.0012, 0.0066), handler("extract", step * 3, 0.0008, 0.0041)], { device: 0 }),
    ...live().map((r) => one("mesher", `dirty, ${r.triangles} triangles`, deep(3),
      [handler("ray_batch", Number(r.version), 0.0011, 0.005), handler("remesh", Number(r.version), 0.0007, 0.0033)],
      { region: r.region, device: 0, restarts: r.region[0] === 2 && r.region[2] === -2 ? 1 : 0,
        last_error: r.region[0] === 2 && r.region[2] === -2 ? "killed by a test" : "" })),
    one("broadcaster", `${regions.size} patches held, ${sessions.size} sessions`, deep(2),
      [handler("region_mesh", Number(version), 0.0019, 0.0083), handler("subscribe", handled.subscribe ?? 0, 0.0001, 0.0002)]),
    ...[...sessions].map((s, i) => one("session",
      `127.0.0.1:${40000 + i}, lacks ${s.lacks.size}, ${[...s.flight.values()].reduce((a, b) => a + b, 0)} bytes unacknowledged`,
      0, [handler("patch", Number(version), 0.00004, 0.0002), handler("ack", handled.ack ?? 0, 0.00001, 0.00003)])),
    one("supervisor", "watches all", 0, [handler("down", 1, 0.0001, 0.0001)]),
    one("inspector", "", 0, [handler("inspect", 40, 0.0004, 0.001)]),
  ];
};
const answers = {
  "/v1/map": () => ({ epoch, hash: "5f0c9a41b27d38e6c4410d7be92f8a13", keyframes: step, rays: step * 5100, regions: live().length,
    blocks: live().length * 31, voxels: triangles() * 3, field_bytes: live().length * 1.4e6,
    vertices: Math.round(triangles() / 1.9), triangles: triangles(), bounds: [0.3, -3.2, -6.3, 7.5, -0.3, -0.3],
    voxel_m: room.voxel_m, truncation_m: 3 * room.voxel_m, region_voxels: room.region_voxels }),
  "/v1/regions": () => live().map((r) => ({ region: r.region, device: 0, version: r.version.toString(), blocks: 31,
    voxels: r.triangles * 3, bytes: 31 * 512 * 32, vertices: r.vertices, triangles: r.triangles, patch_bytes: r.frame.length,
    keyframe_ns: r.keyframe_ns.toString() })),
  "/v1/actors": roles,
  "/v1/aside": () => aside.slice(-100),
};

/// The few lines of /metrics that the console reads.
const metrics = () =>
  Object.entries({ 'tessera_keyframes_total{outcome="accepted"}': step,
    'tessera_keyframes_total{outcome="refused"}': aside.length, tessera_rays_total: step * 5100, tessera_patches_total: version,
    tessera_sent_patches_total: version * BigInt(sessions.size) })
    .map(([name, value]) => `${name} ${value}\n`).join("");

const server = createServer(async (request, response) => {
  const url = new URL(request.url, "http://mock");
  const send = (status, type, body) => response.writeHead(status,
    { "content-type": type, "cache-control": "no-store", "access-control-allow-origin": "*" }).end(body);
  if (answers[url.pathname]) {
    const right = !token || url.searchParams.get("token") === token || request.headers.authorization === `Bearer ${token}`;
    if (!right) return send(401, "application/json", '{"error":"token missing or wrong"}');
    return send(200, "application/json", JSON.stringify(answers[url.pathname]()));
  }
  if (url.pathname === "/metrics") return send(200, "text/plain; version=0.0.4", metrics());
  if (url.pathname === "/readyz" || url.pathname === "/healthz")
    return send(option("short", false) ? 503 : 200, "text/plain",
      option("short", false) ? "memory-cap 64 MiB is used up" : "ready");
  const name = url.pathname === "/" ? "/index.html" : url.pathname === "/console" ? "/console.html" : normalize(url.pathname);
  try {
    send(200, types[extname(name)] ?? "application/octet-stream", await readFile(join(dist, name)));
  } catch {
    send(404, "text/plain", "not found");
  }
});
const sockets = new WebSocketServer({ noServer: true, maxPayload: 1 << 20,
  handleProtocols: (offered) => (offered.has("tessera.v1") ? "tessera.v1" : false) });
server.on("upgrade", (request, socket, head) => {
  const url = new URL(request.url, "http://mock");
  if (token && url.searchParams.get("token") !== token)
    return socket.end("HTTP/1.1 401 Unauthorized\r\nconnection: close\r\n\r\n");
  if (url.pathname !== "/v1/stream") return socket.end("HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n");
  sockets.handleUpgrade(request, socket, head, (ws) => sessions.add(new session(ws)));
});
server.listen(port, "127.0.0.1", () => console.log(`mock at http://127.0.0.1:${port}/`));
