// Watches the viewer for a while and prints what grows and what stalls: node dev/soak.mjs http://127.0.0.1:8090 SECONDS
// Heap is measured after a forced collection; a stall is a task of the page's own thread longer than 50 ms.

import { open_browser } from "./browser.mjs";

const [address = "http://127.0.0.1:8090", seconds = "120", width = "480"] = process.argv.slice(2);
const browser = await open_browser();
const page = await browser.newPage({ viewport: { width: Number(width), height: Math.round(Number(width) * 0.62) } });
page.on("pageerror", (e) => console.log(`[exception] ${e}`));
await page.addInitScript(() => {
  window.stalls = [];
  new PerformanceObserver((list) => window.stalls.push(...list.getEntries().map((e) => Math.round(e.duration))))
    .observe({ entryTypes: ["longtask"] });
});
await page.goto(address);
const cdp = await page.context().newCDPSession(page);
const begun = Date.now();
while (Date.now() - begun < 1000 * Number(seconds)) {
  await page.waitForTimeout(Math.min(15_000, 250 * Number(seconds)));
  await cdp.send("HeapProfiler.collectGarbage");
  const heap = await cdp.send("Runtime.getHeapUsage");
  const s = await page.evaluate(() => ({ ...window.tessera.snapshot(), stalls: window.stalls.splice(0) }));
  console.log(JSON.stringify({
    t: Math.round((Date.now() - begun) / 1000), state: s.state, regions: s.regions, triangles: s.triangles,
      received_MB: +(s.received_bytes / 1e6).toFixed(1),
    heap_MB: +(heap.usedSize / 1e6).toFixed(1), arrays_MB: +((heap.backingStorageSize ?? 0) / 1e6).toFixed(1),
    shown_MB: +(s.geometry_bytes / 1e6).toFixed(1),
    gpu_geometries: s.gpu.geometries, queue: s.pipeline + s.uploads, fps: s.frames_last_second,
    worst_frame_ms: Math.round(s.worst_frame_ms),
    stalls: s.stalls.length, longest_stall_ms: Math.max(0, ...s.stalls), latency_ms: s.latency_ms?.map(Math.round),
  }));
}
await browser.close();
