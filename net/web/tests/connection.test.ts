import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { connection, type connection_events, type connection_state, service_address_of } from "../src/stream/connection";
import { ledger } from "../src/stream/ledger";
import { patch_frame } from "./frames";

/// A socket that the test speaks for.
class fake_socket {
  readyState = 1;
  binaryType = "";
  sent: { type: string; epoch?: string; have?: unknown[]; max_bits_per_s?: number; regions?: unknown[] }[] = [];
  onmessage: ((e: { data: unknown }) => void) | null = null;
  onclose: ((e: { code: number; reason: string }) => void) | null = null;
  constructor(readonly url: string, readonly protocols: string[]) {}
  send(frame: string): void {
    this.sent.push(JSON.parse(frame));
  }
  close(): void {
    this.readyState = 3;
  }
  say(o: object): void {
    this.onmessage?.({ data: JSON.stringify(o) });
  }
  end(code = 1006, reason = ""): void {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
}

const hello = (epoch = "e1", protocol = "tessera.v1") => ({ type: "hello", protocol, server: "t", epoch, voxel_m: 0.05,
  truncation_m: 0.15, region_voxels: 64, quantum_m: 0.001 });

function setup(status = 0, no_map = false) {
  const sockets: fake_socket[] = [], states: connection_state[] = [], bad: string[] = [], held = new ledger();
  const events: connection_events = {
    state: (s) => states.push(s),
    hello: (m) => held.enter(m.epoch),
    talk: () => {},
    patch: (p) => held.receive(p),
    bad_frame: (reason) => bad.push(reason),
    received: () => {},
    have: () => ({ epoch: held.epoch, have: held.have() }),
    unnamed: (regions) => regions.forEach(([x, y, z]) => held.drop(`${x},${y},${z}`)),
  };
  const line = new connection(service_address_of(new URL("http://host:8080/?token=a%20b")), events, {
    open: (url, protocols) => {
      const s = new fake_socket(url, protocols);
      sockets.push(s);
      return s as unknown as WebSocket;
    },
    probe: () => Promise.resolve({ status, no_map }),
    random: () => 0.5,
  });
  return { line, sockets, states, bad, held, last: () => states[states.length - 1] };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("addresses come from the page, the token is passed on, the server can be another", () => {
  const of = (page: string) => service_address_of(new URL(page));
  expect(of("http://a:8080/?token=x%26y").stream).toBe("ws://a:8080/v1/stream?token=x%26y");
  expect(of("https://a/console").stream).toBe("wss://a/v1/stream");
  expect(of("http://a/?server=b:9000").http).toBe("http://b:9000");
  expect(of("http://a:8080/").http).toBe("http://a:8080");
});

test("behind a path prefix everything is asked for below it, from either page", () => {
  const of = (page: string) => service_address_of(new URL(page));
  for (const page of ["", "index.html", "console", "console.html"]) {
    expect(of(`https://a/maps/one/${page}?token=t#x`).stream).toBe("wss://a/maps/one/v1/stream?token=t");
    expect(of(`https://a/maps/one/${page}`).http).toBe("https://a/maps/one");
  }
  expect(of("https://a/console/").http).toBe("https://a/console");
  expect(of("https://a/maps/?server=b:9000").stream).toBe("wss://b:9000/v1/stream");
});

test("subscribes after hello, with nothing at first", () => {
  const t = setup();
  t.line.start();
  expect(t.sockets[0].protocols).toEqual(["tessera.v2", "tessera.v1"]);
  expect(t.line.send("{}")).toBe(false);
  t.sockets[0].say(hello());
  expect(t.sockets[0].sent).toEqual([{ type: "subscribe", epoch: "e1", have: [], max_bits_per_s: 0 }]);
  expect(t.last().name).toBe("live");
});

test("after a loss it comes back with what it has", async () => {
  const t = setup();
  t.line.start();
  t.sockets[0].say(hello());
  t.sockets[0].onmessage?.({ data: patch_frame({ region: [1, 2, 3], version: 12n }) });
  t.sockets[0].end();
  await vi.advanceTimersByTimeAsync(0);
  expect(t.last()).toMatchObject({ name: "waiting", cause: "lost" });
  await vi.advanceTimersByTimeAsync(600);
  t.sockets[1].say(hello());
  expect(t.sockets[1].sent[0]).toMatchObject({ epoch: "e1", have: [[1, 2, 3, "12"]] });
  t.sockets[1].end();
  await vi.advanceTimersByTimeAsync(600);
  t.sockets[2].say(hello("e2"));
  expect(t.sockets[2].sent[0]).toMatchObject({ epoch: "e2", have: [] });
});

test("a map of more regions than a frame can name comes back with the newest, and again with fewer if that was too large",
  async () => {
  const t = setup();
  const limited = { ...hello(), max_text_bytes: 1000 };
  t.line.start();
  t.sockets[0].say(limited);
  for (let x = 0; x < 100; x++) t.sockets[0].onmessage?.({ data: patch_frame({ region: [x, 0, 0], version: 12n }) });
  t.sockets[0].onmessage?.({ data: patch_frame({ region: [5, 0, 0], version: 13n }) }); // the newest of all
  t.sockets[0].end();
  await vi.advanceTimersByTimeAsync(600);
  t.sockets[1].say(limited);
  const named = t.sockets[1].sent[0].have ?? [];
  expect(JSON.stringify(t.sockets[1].sent[0]).length).toBeLessThanOrEqual(1000);
  expect(named.length).toBeGreaterThan(50);
  expect(named[named.length - 1]).toEqual([5, 0, 0, "13"]);
  expect(t.held.have()).toEqual(named); // the others are dropped, since nobody would tell that they are gone
  t.sockets[1].end(1009);
  await vi.advanceTimersByTimeAsync(15_000);
  t.sockets[2].say(limited);
  expect(t.sockets[2].sent[0].have?.length).toBeGreaterThan(5);
  expect(JSON.stringify(t.sockets[2].sent[0]).length).toBeLessThanOrEqual(250);
});

test("waits longer each time, up to a bound, and starts over after a success", async () => {
  const t = setup();
  t.line.start();
  const waits: number[] = [];
  for (let i = 0; i < 8; i++) {
    const before = t.sockets.length;
    t.sockets[before - 1].end();
    await vi.advanceTimersByTimeAsync(0);
    let waited = 0;
    while (t.sockets.length === before) {
      await vi.advanceTimersByTimeAsync(100);
      waited += 100;
    }
    waits.push(waited);
  }
  expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
  t.sockets[t.sockets.length - 1].say(hello());
  const n = t.sockets.length;
  t.sockets[n - 1].end();
  await vi.advanceTimersByTimeAsync(500);
  expect(t.sockets).toHaveLength(n + 1);
});

test.each([[401, "token"], [403, "foreign"], [0, "unreachable"], [200, "no_stream"],
  [503, "overload"]])("HTTP status %i tells: %s", async (status, cause) => {
  const t = setup(status);
  t.line.start();
  t.sockets[0].end();
  await vi.advanceTimersByTimeAsync(0);
  expect(t.last()).toMatchObject({ name: "waiting", cause });
});

test("a service that waits for its first keyframe is asked again every second, and no fault is told", async () => {
  const t = setup(200, true);
  t.line.start();
  for (let i = 0; i < 5; i++) {
    expect(t.sockets).toHaveLength(i + 1);
    t.sockets[i].end();
    await vi.advanceTimersByTimeAsync(0);
    expect(t.last()).toMatchObject({ name: "waiting", cause: "no_map" });
    await vi.advanceTimersByTimeAsync(1000);
  }
  t.sockets[5].say(hello());
  expect(t.last().name).toBe("live");
});

test("a token that is asked for is the user's turn: nothing is tried again until he gives one or comes back", async () => {
  const t = setup(401);
  t.line.start();
  t.sockets[0].end();
  await vi.advanceTimersByTimeAsync(120_000);
  expect(t.sockets).toHaveLength(1);
  expect(t.last()).toMatchObject({ cause: "token", retry_ms: Infinity });
  t.line.retry_now();
  expect(t.sockets).toHaveLength(2);
});

test("cells come over v2 only, and what is lost is asked for there only", async () => {
  const t = setup(), cells = patch_frame({ codec: 2 });
  t.line.start();
  t.sockets[0].say(hello("e1", "tessera.v1"));
  t.sockets[0].onmessage?.({ data: cells });
  t.line.lose([[1, 2, 3]]);
  expect(t.bad).toEqual(["patch codec 2, known is 1 (Draco)"]);
  expect(t.sockets[0].sent).toHaveLength(1);
  t.sockets[0].end();
  await vi.advanceTimersByTimeAsync(600);
  t.sockets[1].say(hello("e1", "tessera.v2"));
  t.sockets[1].onmessage?.({ data: cells });
  t.line.lose([[1, 2, 3]]);
  expect(t.bad).toHaveLength(1);
  expect(t.held.size).toBe(1);
  expect(t.sockets[1].sent[1]).toEqual({ type: "lost", regions: [[1, 2, 3]] });
});

test("another protocol is told and nothing is subscribed", () => {
  const t = setup();
  t.line.start();
  t.sockets[0].say(hello("e", "tessera.v3"));
  expect(t.last()).toMatchObject({ name: "waiting", cause: "protocol",
    detail: 'the service speaks "tessera.v3", this page "tessera.v2" and "tessera.v1"' });
  expect(t.sockets[0].sent).toEqual([]);
});

test("a bad frame is told and the stream goes on", () => {
  const t = setup();
  t.line.start();
  t.sockets[0].say(hello());
  t.sockets[0].onmessage?.({ data: new ArrayBuffer(10) });
  t.sockets[0].onmessage?.({ data: "not json" });
  t.sockets[0].onmessage?.({ data: patch_frame() });
  expect(t.bad).toHaveLength(2);
  expect(t.held.size).toBe(1);
  expect(t.last().name).toBe("live");
});

test("silence is a loss", async () => {
  const t = setup();
  t.line.start();
  t.sockets[0].say(hello());
  await vi.advanceTimersByTimeAsync(9000);
  expect(t.last().name).toBe("live");
  await vi.advanceTimersByTimeAsync(3000);
  expect(t.states.some((s) => s.name === "waiting" && s.cause === "lost")).toBe(true);
  expect(t.sockets.length).toBeGreaterThan(1);
});

test("a new bandwidth subscribes again on the open stream", () => {
  const t = setup();
  t.line.start();
  t.sockets[0].say(hello());
  t.line.limit(5_000_000);
  expect(t.sockets[0].sent[1]).toMatchObject({ type: "subscribe", max_bits_per_s: 5_000_000 });
});

test("a stopped connection stays stopped", async () => {
  const t = setup();
  t.line.start();
  t.line.stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(t.sockets).toHaveLength(1);
});
