// Headless Chromium, whose WebGL is drawn in software. As a program it starts one that others of these scripts may share: it
// prints the address to give them, and ends with its standard input.

import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const options = {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
    "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
};

/// The one at `address`, which goes on when it is closed here; else one of our own.
export const open_browser = (address) => (address ? chromium.connect(address) : chromium.launch(options));

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const server = await chromium.launchServer({ ...options, host: "127.0.0.1" });
  console.log(server.wsEndpoint());
  process.stdin.resume().on("close", () => server.close());
}
