import { describe, expect, test } from "vitest";
import { clock_offset } from "../src/stream/clock";
import { decode_error } from "../src/stream/decoder";
import { ledger } from "../src/stream/ledger";
import { percentile_meter, rate_meter } from "../src/stream/meter";
import { pipeline, type pipeline_events, type pipeline_parts, type ready_patch } from "../src/stream/pipeline";
import { parse_patch, type patch } from "../src/stream/protocol";
import { upload_queue } from "../src/stream/uploads";
import type { decoded_mesh } from "../src/stream/shaping";
import type { shaper_answer, shaper_request } from "../src/stream/shaper.worker";
import { patch_frame } from "./frames";

const surface = (version: bigint, region: [number, number, number] = [0, 0, 0]): patch =>
  parse_patch(patch_frame({ version, region }));
const cells = (version: bigint, partial = false, region: [number, number, number] = [0, 0, 0]): patch =>
  parse_patch(patch_frame({ version, region, codec: 2, flags: partial ? 1 : 0 }, [1, 2, 3, 4, 5, 6, 7, 8, 9]), true);
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

  test("without its base no partial patch counts, until the region comes whole", () => {
    const l = new ledger();
    l.enter("e");
    l.receive(cells(1n));
    l.show("0,0,0", 1n);
    expect(l.receive(cells(2n, true))).toBe(true);
    l.lose("0,0,0");
    expect(l.have()).toEqual([[0, 0, 0, "1"]]);
    expect(l.receive(cells(3n, true))).toBe(false);
    expect(l.receive(cells(1n))).toBe(false);
    expect(l.receive(cells(4n, true))).toBe(false);
    expect(l.receive(cells(4n))).toBe(true);
    expect(l.receive(cells(5n, true))).toBe(true);
    l.lose("0,0,0");
    l.enter("e");
    expect(l.receive(cells(6n, true))).toBe(true);
  });

  test("another epoch drops everything; the same one keeps it", () => {
    const l = new ledger();
    expect(l.enter("a")).toBe(false);
    l.receive(surface(1n));
    l.receive({ ...surface(9n, [1, 0, 0]), kind: "empty" });
    expect(l.enter("a")).toBe(false);
    expect(l.size).toBe(1);
    expect(l.receive(surface(1n))).toBe(false);
    // What a process that was killed called gone the next one may have, under the version that it had before.
    expect(l.receive(surface(5n, [1, 0, 0]))).toBe(true);
    l.drop("1,0,0");
    expect(l.enter("b")).toBe(true);
    expect(l.have()).toEqual([]);
  });
});

interface hand_driven_decode {
  versions: bigint[];
  done: () => void;
  fail: (why: string, base_missing?: boolean) => void;
}

/// A pipeline whose decodes and shapes finish when the test says so.
function hand_driven(): { line: pipeline; decodes: hand_driven_decode[]; posted: shaper_request[];
  answer: (a: shaper_answer) => void; log: string[] } {
  const decodes: hand_driven_decode[] = [], posted: shaper_request[] = [], log: string[] = [];
  let listener: (a: shaper_answer) => void = () => {};
  const decode = (versions: bigint[]): Promise<decoded_mesh> => new Promise((resolve, reject) =>
    decodes.push({ versions, done: () => resolve({ positions: new Int32Array(9), colours: new Uint8Array(12),
      indices: Uint32Array.of(0, 1, 2) }), fail: (why, base_missing) => reject(new decode_error(why, false, base_missing)) }));
  const parts: pipeline_parts = {
    decoder: { workers: 1, decode: () => decode([]) },
    cells: { decode: (patches) => decode(patches.map((p) => p.version)), forget: (at) => log.push(`forgotten ${at}`),
      reset: () => log.push("all forgotten") },
    shaper: { post: (r) => posted.push(r), on_answer: (l) => (listener = l) },
  };
  const events: pipeline_events = {
    superseded: (p) => log.push(`superseded ${p.version}`),
    ready: (r) => log.push(`${r.shaped ? "shown" : "removed"} ${r.patch.version}`),
    failed: (p, reason) => log.push(`failed ${p.version}: ${reason}`),
    lost: (at) => log.push(`lost ${at}`),
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
    expect(d.log).toEqual(["forgotten 0,0,0", "superseded 2", "superseded 3"]);
    d.decodes[0].done();
    await tick();
    d.answer(answer_to(d.posted[0]));
    expect(d.decodes).toHaveLength(2);
    d.decodes[1].done();
    await tick();
    d.answer(answer_to(d.posted[1]));
    expect(d.log.slice(3)).toEqual(["shown 1", "forgotten 0,0,0", "shown 4"]);
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
    expect(d.log.slice(1)).toEqual(["shown 1", "forgotten 0,0,0", "removed 2"]);
  });

  test("a patch that cannot be decoded is told, and the next goes on", async () => {
    const d = hand_driven();
    d.line.push(surface(1n));
    d.line.push(surface(2n));
    d.decodes[0].fail("no Draco");
    await tick();
    expect(d.log.slice(1)).toEqual(["failed 1: no Draco", "forgotten 0,0,0"]);
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
    expect(d.log.slice(2)).toEqual(["all forgotten"]);
    expect(d.line.depth).toBe(0);
    d.line.push(surface(1n));
    expect(d.decodes).toHaveLength(3);
  });

  test("partial patches wait with what they build on, and are decoded together", async () => {
    const d = hand_driven();
    d.line.push(cells(1n));
    d.line.push(cells(2n, true));
    d.line.push(cells(3n, true));
    expect(d.log).toEqual([]);
    d.decodes[0].done();
    await tick();
    d.answer(answer_to(d.posted[0]));
    d.decodes[1].done();
    await tick();
    d.answer(answer_to(d.posted[1]));
    expect(d.decodes.map((x) => x.versions)).toEqual([[1n], [2n, 3n]]);
    expect(d.log).toEqual(["shown 1", "superseded 2", "shown 3"]);
    d.line.push(cells(4n));
    d.line.push(cells(5n, true));
    d.line.push(cells(6n));
    expect(d.log.slice(3)).toEqual(["superseded 5"]);
  });

  test("a partial patch whose base is not held, and those that wait for it, make the region lost", async () => {
    const d = hand_driven();
    d.line.push(cells(2n, true));
    d.line.push(cells(3n, true));
    d.decodes[0].fail("nothing of it is held", true);
    await tick();
    expect(d.log).toEqual(["superseded 2", "superseded 3", "lost 0,0,0"]);
    expect(d.line.depth).toBe(0);
    d.line.push(cells(4n, true));
    d.line.push(cells(5n));
    d.decodes[1].fail("nothing of it is held", true);
    await tick();
    expect(d.log.slice(3)).toEqual(["superseded 4"]); // it comes whole already
    expect(d.decodes[2].versions).toEqual([5n]);
  });

  test("a partial patch that is damaged is told, and makes the region lost; a whole one is told only", async () => {
    const d = hand_driven();
    d.line.push(cells(2n, true));
    d.decodes[0].fail("noise");
    await tick();
    d.line.push(cells(3n));
    d.decodes[1].fail("noise");
    await tick();
    expect(d.log).toEqual(["failed 2: noise", "lost 0,0,0", "failed 3: noise"]);
  });

  test("nothing is held of a region that is empty or came as Draco", () => {
    const d = hand_driven();
    d.line.push(empty(1n, [1, 0, 0]));
    d.line.push(surface(1n, [2, 0, 0]));
    expect(d.log).toEqual(["forgotten 1,0,0", "forgotten 2,0,0"]);
    d.line.push(surface(2n, [2, 0, 0]));
    d.line.push(cells(3n, true, [2, 0, 0]));
    expect(d.log.slice(2)).toEqual(["superseded 3", "lost 2,0,0"]);
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
