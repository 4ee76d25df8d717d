import { expect, test, vi } from "vitest";
import { poll, read_actors, read_aside, read_map, read_regions, reason_of, type service_state } from "../src/console/api";
import { count_window, read_counts } from "../src/console/counters";
import { rates_between } from "../src/console/rates";
import { slice_path } from "../src/console/slice_panel";
import { service_address_of } from "../src/stream/connection";
import { brief, bytes_text, seconds_text, whole } from "../src/ui/dom";

const actor = { role: "mesher", id: 12, region: [1, -2, 3], device: 0, state: "busy", detail: "dirty", mailbox: 4,
  handlers: [{ message: "ray_batch", handled: 10, p50_s: 0.001, p99_s: 0.002, total_s: 0.01 }], restarts: 1,
  last_error: "killed" };

test("actors are read; what is missing or odd does not break the page", () => {
  expect(read_actors([actor])[0]).toEqual({ ...actor, id: "12" });
  expect(read_actors({ actors: [{ ...actor, region: null, device: null }] })[0])
    .toMatchObject({ region: undefined, device: undefined });
  expect(read_actors([{}, null, 7])).toHaveLength(3);
  expect(read_actors("nonsense")).toEqual([]);
});

test("map, regions and refused inputs are read", () => {
  expect(read_map({ epoch: "e", hash: "ab", keyframes: 3, bounds: [0, 0, 0, 1, 1, 1] }))
    .toMatchObject({ epoch: "e", keyframes: 3, rays: 0, bounds: [0, 0, 0, 1, 1, 1] });
  expect(read_regions([{ region: [0, 1, 2], version: "18446744073709551615", keyframe_ns: "1700000000000000000" },
    { region: "x" }])).toMatchObject([{ region: [0, 1, 2], keyframe_s: 1.7e9 }]);
  expect(read_aside([{ source: "shm", what: "k", reason: "r", time_ns: 2e6 }]))
    .toEqual([{ source: "shm", what: "k", reason: "r", time_ms: 2 }]);
});

test("rates are differences, and a restarted actor has none below zero", () => {
  const at = (at_s: number, handled: number): service_state => ({ at_s,
    actors: read_actors([{ ...actor, handlers: [{ ...actor.handlers[0], handled, total_s: handled / 100 }] }]), map: read_map({}),
    regions: [], aside: [], counts: read_counts(""), not_ready: "" });
  expect(rates_between(undefined, at(0, 5)).get("mesher/12")).toEqual({ per_s: 0, busy: 0 });
  const r = rates_between(at(0, 10), at(2, 30)).get("mesher/12")!;
  expect(r.per_s).toBe(10);
  expect(r.busy).toBeCloseTo(0.1);
  expect(rates_between(at(0, 10), at(1, 2)).get("mesher/12")!.per_s).toBe(0);
});

const metrics = (accepted: number, others = 0) =>
  `# HELP tessera_keyframes_total Keyframes\n# TYPE tessera_keyframes_total counter\n` +
  `tessera_keyframes_total{outcome="accepted"} ${accepted}\ntessera_keyframes_total{outcome="duplicate"} ${others}\n` +
  `tessera_keyframes_total{outcome="something_new"} 1\ntessera_keyframes_refused_total{reason="pose"} 7\n` +
  `tessera_stage_duration_seconds_count{stage="rays"} 5\ntessera_stage_duration_seconds_count{stage="extract"} 1.5e+06\n` +
  `tessera_patches_total 9\nprocess_open_fds 12\nnonsense\n`;

test("counters come from the service's own metrics, not from messages that actors handled", () => {
  expect(read_counts(metrics(10, 2))).toMatchObject({ accepted: 10, offered: 13, meshes: 1_500_000, patches: 9, sent_patches: 0,
    outcomes: { accepted: 10, duplicate: 2, something_new: 1 } });
  expect(read_counts("")).toMatchObject({ accepted: 0, offered: 0 });
});

test("what is told not now was offered too, but for what no input could be read of", () => {
  const not_now =
    'tessera_keyframes_not_now_total{reason="input"} 100\ntessera_keyframes_not_now_total{reason="store"} 20\n' +
    'tessera_keyframes_not_now_total{reason="memory"} 3\n';
  expect(read_counts(metrics(10, 2) + not_now)).toMatchObject({ offered: 36, accepted: 10 });
});

test("a poll that is not to go on asks one thing", async () => {
  const asked: string[] = [];
  vi.stubGlobal("fetch", (url: string) => {
    asked.push(url);
    return Promise.resolve(new Response("[]", { status: 200 }));
  });
  const address = service_address_of(new URL("http://host:1/"));
  expect(await poll(address, () => false)).toBeUndefined();
  expect(asked).toEqual(["http://host:1/v1/actors"]);
  expect(await poll(address, () => true)).toMatchObject({ actors: [] });
  expect(asked).toHaveLength(7);
  vi.unstubAllGlobals();
});

test("three keyframes a second read as three, also while as many leave the map", () => {
  const w = new count_window(4);
  expect(w.add(0, read_counts(metrics(0)))).toBeUndefined();
  let shown = 0;
  for (let t = 1; t <= 12; t++) shown = w.add(t + 0.1 * (t % 2), read_counts(metrics(3 * t)))!.accepted;
  expect(shown).toBeCloseTo(3, 0);
  expect(w.add(13, read_counts(metrics(2)))).toBeUndefined();
  expect(w.add(14, read_counts(metrics(5)))!.accepted).toBe(3);
});

test("the reason why the service is not ready is read from words and from objects", () => {
  expect(reason_of("memory is short\n")).toBe("memory is short");
  expect(reason_of('{"error":"busy","reason":"the store is full"}')).toBe("the store is full");
  expect(reason_of("{}")).toBe("{}");
});

test("numbers for people", () => {
  expect(whole(1234567)).toBe("1\u202f234\u202f567");
  expect([brief(999), brief(1234), brief(4.56e6)]).toEqual(["999", "1.23k", "4.56M"]);
  expect([bytes_text(0), bytes_text(1500), bytes_text(2.5e9)]).toEqual(["0 B", "1.50 kB", "2.50 GB"]);
  expect([seconds_text(0), seconds_text(0.0009), seconds_text(0.0123), seconds_text(45), seconds_text(600)])
    .toEqual(["0", "900 µs", "12.3 ms", "45.0 s", "10 min"]);
});

test("a slice is asked for with the map's own bounds, so that the picture keeps still", () => {
  const bounds = [-1, -2, -3, 4, 5, 6];
  const asked = (change: object): URLSearchParams =>
    new URL("http://x" + slice_path({ axis: 2, at_m: 1.25, show: "all", width: 1500, dark: false, ...change }, bounds, 0.05))
      .searchParams;
  expect(Object.fromEntries(asked({}))).toEqual({ axis: "z", at: "1.2500", show: "all", area: "-1.000,4.000,-2.000,5.000",
    size: "420", theme: "light" });
  expect(asked({ axis: 0 }).get("area")).toBe("-2.000,5.000,-3.000,6.000");
  expect(asked({ axis: 1, dark: true }).get("theme")).toBe("dark");
  expect(asked({ show: "distance", width: 5000 }).get("size")).toBe("1024");
  expect(asked({ show: "distance", width: 0 }).get("size")).toBe("142"); // a pixel a voxel
});
