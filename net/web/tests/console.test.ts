import { expect, test } from "vitest";
import { read_actors, read_aside, read_map, read_regions, type service_state } from "../src/console/api";
import { rates_between } from "../src/console/rates";
import { brief, bytes_text, seconds_text, whole } from "../src/ui/dom";

const actor = { role: "mesher", id: 12, region: [1, -2, 3], device: 0, state: "busy", detail: "dirty", mailbox: 4, handlers: [{ message: "ray_batch", handled: 10, p50_s: 0.001, p99_s: 0.002, total_s: 0.01 }], restarts: 1, last_error: "killed" };

test("actors are read; what is missing or odd does not break the page", () => {
  expect(read_actors([actor])[0]).toEqual({ ...actor, id: "12" });
  expect(read_actors({ actors: [{ ...actor, region: null, device: null }] })[0]).toMatchObject({ region: undefined, device: undefined });
  expect(read_actors([{}, null, 7])).toHaveLength(3);
  expect(read_actors("nonsense")).toEqual([]);
});

test("map, regions and refused inputs are read", () => {
  expect(read_map({ epoch: "e", hash: "ab", keyframes: 3, bounds: [0, 0, 0, 1, 1, 1] })).toMatchObject({ epoch: "e", keyframes: 3, rays: 0, bounds: [0, 0, 0, 1, 1, 1] });
  expect(read_regions([{ region: [0, 1, 2], version: "18446744073709551615", keyframe_ns: "1700000000000000000" }, { region: "x" }])).toMatchObject([{ region: [0, 1, 2], keyframe_s: 1.7e9 }]);
  expect(read_aside([{ source: "shm", what: "k", reason: "r", time_ns: 2e6 }])).toEqual([{ source: "shm", what: "k", reason: "r", time_ms: 2 }]);
});

test("rates are differences, and a restarted actor has none below zero", () => {
  const at = (at_s: number, handled: number): service_state => ({ at_s, actors: read_actors([{ ...actor, handlers: [{ ...actor.handlers[0], handled, total_s: handled / 100 }] }]), map: read_map({}), regions: [], aside: [] });
  expect(rates_between(undefined, at(0, 5)).get("mesher/12")).toEqual({ per_s: 0, busy: 0 });
  const r = rates_between(at(0, 10), at(2, 30)).get("mesher/12")!;
  expect(r.per_s).toBe(10);
  expect(r.busy).toBeCloseTo(0.1);
  expect(rates_between(at(0, 10), at(1, 2)).get("mesher/12")!.per_s).toBe(0);
});

test("numbers for people", () => {
  expect(whole(1234567)).toBe("1\u202f234\u202f567");
  expect([brief(999), brief(1234), brief(4.56e6)]).toEqual(["999", "1.23k", "4.56M"]);
  expect([bytes_text(0), bytes_text(1500), bytes_text(2.5e9)]).toEqual(["0 B", "1.50 kB", "2.50 GB"]);
  expect([seconds_text(0), seconds_text(0.0009), seconds_text(0.0123), seconds_text(45), seconds_text(600)]).toEqual(["0", "900 µs", "12.3 ms", "45.0 s", "10 min"]);
});
