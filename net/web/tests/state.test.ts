import { describe, expect, test } from "vitest";
import { clock_offset } from "../src/stream/clock";
import { ledger } from "../src/stream/ledger";
import { percentile_meter, rate_meter } from "../src/stream/meter";
import { pipeline, type pipeline_events, type pipeline_parts, type ready_patch } from "../src/stream/pipeline";
import { parse_patch, type patch } from "../src/stream/protocol";
import { upload_queue } from "../src/stream/uploads";
import type { shaper_answer, shaper_request } from "../src/stream/shaper.worker";
import { patch_frame } from "./frames";

const surface = (version: bigint, region: [number, number, number] = [0, 0, 0]): patch =>
  parse_patch(patch_frame({ version, region }));
const empty = (version: bigint, region: [number, number, number] = [0, 0, 0]): patch =>
  parse_patch(patch_frame({ version, region, kind: 1, vertices: 0, triangles: 0 }, []));

describe("ledger", () => {
  test("the newest version wins, in whatever order they are shown", () => {
    const l = new ledger();
    l.enter("e");
    expect(l.receive(surface(1n))).toBe(true);
    expect(l.receive(surface(3n))).toBe(true);
    expect(l.receive(surface(2n))).toBe(false);
    expect(l.show("0,0,0", 3n)).toBe(true);
    expect(l.show("0,0,0", 1n)).toBe(false);
    expect(l.have()).toEqual([[0, 0, 0, "3"]]);
  });

  test("versions compare as 64-bit numbers, not as text or doubles", () => {
    const l = new ledger();
    l.enter("e");
    l.receive(surface(9n));
    expect(l.receive(surface(10n))).toBe(true);
    l.receive(surface(2n ** 63n));
    expect(l.receive(surface(2n ** 63n + 1n))).toBe(true);
  });

  test("a removed region is not held, and older surfaces of it stay away", () => {
    const l = new ledger();
    l.enter("e");
    l.receive(surface(4n));
    l.receive(empty(5n));
    expect(l.have()).toEqual([]);
    expect(l.receive(surface(4n))).toBe(false);
  });

  test("a version that failed is asked for again", () => {
    const l = new ledger();
    l.enter("e");
    l.receive(surface(1n));
    l.show("0,0,0", 1n);
    l.receive(surface(2n));
    l.fail("0,0,0", 2n);
    expect(l.have()).toEqual([[0, 0, 0, "1"]]);
    expect(l.receive(surface(2n))).toBe(true);
    l.receive(surface(7n, [1, 0, 0]));
    l.fail("1,0,0", 7n);
    expect(l.have()).toEqual([[0, 0, 0, "2"]]);
  });

  test("another epoch drops everything; the same one keeps it", () => {
    const l = new ledger();
    expect(l.enter("a")).toBe(false);
    l.receive(surface(1n));
    expect(l.enter("a")).toBe(false);
    expect(l.size).toBe(1);
    expect(l.enter("b")).toBe(true);
    expect(l.have()).toEqual([]);
  });
});

/// A pipeline whose decodes and shapes finish when the test says so.
function hand_driven(): { line: pipeline; decodes: { p: Uint8Array; done: () => void; fail: (why: string) =>
  void }[]; posted: shaper_request[]; answer: (a: shaper_answer) => void; log: string[] } {
  const decodes: { p: Uint8Array; done: () => void; fail: (why: string) => void }[] = [], posted: shaper_request[] = [],
    log: string[] = [];
  let listener: (a: shaper_answer) => void = () => {};
  const parts: pipeline_parts = {
    decoder: {
      workers: 1,
      decode: (p) => new Promise((resolve, reject) =>
        decodes.push({ p, done: () => resolve({ positions: new Int32Array(9), colours: new Uint8Array(12),
          indices: Uint32Array.of(0, 1, 2) }), fail: (why) => reject(new Error(why)) })),
    },
    shaper: { post: (r) => posted.push(r), on_answer: (l) => (listener = l) },
  };
  const events: pipeline_events = {
    superseded: (p) => log.push(`superseded ${p.version}`),
    ready: (r) => log.push(`${r.shaped ? "shown" : "removed"} ${r.patch.version}`),
    failed: (p, reason) => log.push(`failed ${p.version}: ${reason}`),
  };
  return { line: new pipeline(parts, events), decodes, posted, answer: (a) => listener(a), log };
}

const tick = (): Promise<void> => new Promise((done) => setTimeout(done, 0));
const answer_to = (r: shaper_request): shaper_answer => {
  if (r.type === "reset") throw new Error("a reset has no answer");
  const named = { generation: r.generation, region: r.region, version: r.version, neighbours: [] };
  return r.type === "remove" ? { ...named, type: "removed" } : { ...named, type: "shaped", shaped: {} as never };
};

describe("pipeline", () => {
  test("of a region, one patch is in work and only the newest waits", async () => {
    const d = hand_driven();
    for (const v of [1n, 2n, 3n, 4n]) d.line.push(surface(v));
    expect(d.decodes).toHaveLength(1);
    expect(d.log).toEqual(["superseded 2", "superseded 3"]);
    d.decodes[0].done();
    await tick();
    d.answer(answer_to(d.posted[0]));
    expect(d.decodes).toHaveLength(2);
    d.decodes[1].done();
    await tick();
    d.answer(answer_to(d.posted[1]));
    expect(d.log.slice(2)).toEqual(["shown 1", "shown 4"]);
    expect(d.line.depth).toBe(0);
  });

  test("decodes under way are limited, whatever comes in", () => {
    const d = hand_driven();
    for (let x = 0; x < 100; x++) d.line.push(surface(1n, [x, 0, 0]));
    expect(d.decodes).toHaveLength(2);
    expect(d.line.depth).toBe(100);
  });

  test("a removal waits for the surface before it", async () => {
    const d = hand_driven();
    d.line.push(surface(1n));
    d.line.push(empty(2n));
    expect(d.posted).toEqual([]);
    d.decodes[0].done();
    await tick();
    d.answer(answer_to(d.posted[0]));
    d.answer(answer_to(d.posted[1]));
    expect(d.log).toEqual(["shown 1", "removed 2"]);
  });

  test("a patch that cannot be decoded is told, and the next goes on", async () => {
    const d = hand_driven();
    d.line.push(surface(1n));
    d.line.push(surface(2n));
    d.decodes[0].fail("no Draco");
    await tick();
    expect(d.log).toEqual(["failed 1: no Draco"]);
    expect(d.decodes).toHaveLength(2);
  });

  test("after a reset nothing of the old map comes out", async () => {
    const d = hand_driven();
    d.line.push(surface(1n));
    d.line.push(surface(1n, [1, 0, 0]));
    d.decodes[0].done();
    await tick();
    const late = answer_to(d.posted[0]);
    d.line.reset();
    d.decodes[1].done();
    d.answer(late);
    await tick();
    expect(d.log).toEqual([]);
    expect(d.line.depth).toBe(0);
    d.line.push(surface(1n));
    expect(d.decodes).toHaveLength(3);
  });
});

describe("upload queue", () => {
  const ready = (version: bigint, x: number): ready_patch => ({
    patch: surface(version, [x, 0, 0]),
    shaped: { positions: new Float32Array(9), normals: new Int16Array(6), colours: new Uint8Array(12),
      indices: Uint16Array.of(0, 1, 2), bounds: new Float32Array(6), border: 3 },
    neighbours: [],
  });
  const collector = () => {
    const log: string[] = [];
    return { log, show: (r: ready_patch) => void log.push(`${r.patch.key}@${r.patch.version}`),
      update_border: (u: { key: string }) => void log.push(`border ${u.key}`),
      superseded: (r: ready_patch) => void log.push(`superseded ${r.patch.version}`) };
  };

  test("a frame takes what its budget allows, and always one", () => {
    const q = new upload_queue(), t = collector();
    for (let x = 0; x < 5; x++) q.add(ready(1n, x), t);
    q.run({ patches: 2, bytes: 1e9, ms: 1e9 }, t, () => 0);
    expect(q.size).toBe(3);
    q.run({ patches: 9, bytes: 0, ms: 1e9 }, t, () => 0);
    expect(q.size).toBe(2);
    let clock = 0;
    q.run({ patches: 9, bytes: 1e9, ms: 4 }, t, () => (clock += 5));
    expect(q.size).toBe(1);
  });

  test("the newest of a region replaces the one that waits", () => {
    const q = new upload_queue(), t = collector();
    q.add(ready(1n, 0), t);
    q.add(ready(2n, 0), t);
    q.run({ patches: 9, bytes: 1e9, ms: 1e9 }, t, () => 0);
    expect(t.log).toEqual(["superseded 1", "0,0,0@2"]);
  });

  test("border normals reach a neighbour that still waits", () => {
    const q = new upload_queue(), t = collector(), first = ready(1n, 0), second = ready(1n, 1);
    second.neighbours = [{ key: "0,0,0", version: "1", normals: Int16Array.of(1, 2, 3, 4, 5, 6) },
      { key: "5,0,0", version: "1", normals: new Int16Array(2) }];
    q.add(first, t);
    q.add(second, t);
    expect([...first.shaped!.normals]).toEqual([1, 2, 3, 4, 5, 6]);
    q.run({ patches: 9, bytes: 1e9, ms: 1e9 }, t, () => 0);
    expect(t.log).toEqual(["0,0,0@1", "1,0,0@1", "border 5,0,0"]);
  });
});

describe("clocks and meters", () => {
  test("the offset is that of the message that travelled fastest", () => {
    const c = new clock_offset(3);
    expect(c.ms).toBeUndefined();
    for (const [service_ms, here_ms] of [[1000, 1250], [2000, 2205], [3000, 3240]])
      c.add(BigInt(service_ms) * 1_000_000n, here_ms);
    expect(c.ms).toBeCloseTo(205);
    expect(c.since_ms(4000, 4300)).toBeCloseTo(95);
    c.add(4_000_000_000n, 4230);
    c.add(5_000_000_000n, 5230);
    expect(c.ms).toBeCloseTo(230);
  });

  test("a rate forgets what is older than its window", () => {
    const m = new rate_meter(2000, 20);
    for (let t = 0; t < 4000; t += 100) m.add(50, t);
    expect(m.per_second(3999)).toBeCloseTo(500, -1);
    expect(m.per_second(9000)).toBe(0);
    expect(m.total).toBe(2000);
  });

  test("percentiles of the last moments", () => {
    const p = new percentile_meter(1000);
    expect(p.at([0.5], 0)).toBeUndefined();
    for (let i = 1; i <= 100; i++) p.add(i, i);
    expect(p.at([0.5, 0.99], 100)).toEqual([51, 100]);
    expect(p.at([0.5], 5000)).toBeUndefined();
  });
});
