import { describe, expect, test, vi } from "vitest";
import { action_list } from "../src/ui/actions";
import { floor_up } from "../src/scene/floor";
import { frame_points } from "../src/scene/framing";
import { angle_between, dot, type quaternion, unit, up_estimate, upright_of, type vector } from "../src/scene/orientation";
import { kept_address, shared_address } from "../src/ui/kept_address";
import { read_view_link, write_view_link } from "../src/ui/view_link";
import { type any_row, is_switch, load_settings, row_of, type setting_name, setting_names,
  type settings } from "../src/ui/settings";
import { level_names } from "../src/ui/legend";
import { option_name, setting_actions, viewer_actions } from "../src/ui/viewer_actions";
import type { viewer } from "../src/viewer";
import { encode_octahedral, type shaped_mesh } from "../src/stream/shaping";

const turned = ([x, y, z, w]: quaternion, v: vector): vector => {
  const t: vector = [2 * (y * v[2] - z * v[1]), 2 * (z * v[0] - x * v[2]), 2 * (x * v[1] - y * v[0])];
  return [v[0] + w * t[0] + y * t[2] - z * t[1], v[1] + w * t[1] + z * t[0] - x * t[2], v[2] + w * t[2] + x * t[1] - y * t[0]];
};
const near = (a: number[], b: number[], within = 1e-9): boolean => a.every((v, i) => Math.abs(v - b[i]) <= within);

describe("the rotation that takes the map upright", () => {
  const s = Math.SQRT1_2;
  // The same vectors are in the service's tests: what files say must be what the page shows.
  test.each<[string, vector, quaternion]>([
    ["a camera's own axes", [0, -1, 0], [1, 0, 0, 0]],
    ["z up keeps x", [0, 0, 1], [s, 0, 0, -s]],
    ["z down", [0, 0, -1], [s, 0, 0, s]],
    ["x up", [1, 0, 0], [s, s, 0, 0]],
    ["x down", [-1, 0, 0], [s, -s, 0, 0]],
    ["y up: as it is", [0, 1, 0], [0, 0, 0, 1]],
    ["y up, leaning to z", [0, 0.8, 0.6], [-0.6 / Math.hypot(0.6, 1.8), 0, 0, 1.8 / Math.hypot(0.6, 1.8)]],
    ["y up, leaning to x", [0.6, 0.8, 0], [0, 0, 0.6 / Math.hypot(0.6, 1.8), 1.8 / Math.hypot(0.6, 1.8)]],
    ["z up, leaning to y", [0, 0.28, 0.96], [0.6, 0, 0, -0.8]],
    ["of any length", [0, -7, 0], [1, 0, 0, 0]],
  ])("%s", (_name, up, rotation) => expect(near(upright_of(up), rotation), upright_of(up).join()).toBe(true));

  test("takes up to +y, as a rotation", () => {
    for (let i = 0; i < 200; i++) {
      const up = unit([Math.sin(i * 1.7), Math.cos(i * 0.9), Math.sin(i * 0.31 + 1)]);
      const q = upright_of(up);
      expect(Math.hypot(...q)).toBeCloseTo(1, 12);
      expect(near(turned(q, up), [0, 1, 0], 1e-7), up.join()).toBe(true);
    }
  });

  test.each<[string, vector, number]>([
    ["first camera, y down", [0, -1, 0], 60],
    ["first camera, y up", [0, 1, 0], 45],
    ["z up", [0, 0, 1], 20],
    ["z down", [0, 0, -1], 20],
    ["x up", [1, 0, 0], 20],
    ["x down", [-1, 0, 0], 20],
  ])("small changes of up turn the map by as little: %s", (_name, start, lean) => {
    let up = start, worst = 0;
    for (let i = 0; i < 5000; i++) {
      const step = [12.9898, 78.233, 37.719].map((k) => 0.01 * Math.sin(i * k));
      const next = unit([up[0] + step[0], up[1] + step[1], up[2] + step[2]]);
      if (angle_between(next, start) > (lean * Math.PI) / 180) continue;
      const a = upright_of(up), b = upright_of(next), moved = Math.hypot(...up.map((v, k) => next[k] - v));
      const same = Math.sign(a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]);
      if (moved > 1e-6) worst = Math.max(worst, (2 * Math.hypot(...a.map((v, k) => b[k] - same * v))) / moved);
      up = next;
    }
    expect(worst).toBeGreaterThan(0.9);
    expect(worst).toBeLessThan(2);
  });

  test("the heading stays while cameras of a walk come in and move the estimate of up", () => {
    // A person turns twice around, looking down a little, rolling the camera back and forth by up to 12 degrees.
    const e = new up_estimate();
    let last: vector | undefined, swing = 0;
    for (let i = 0; i < 240; i++) {
      const yaw = (i / 120) * 2 * Math.PI, roll = 0.2 * Math.sin(i * 0.9), pitch = 0.3 + 0.2 * Math.sin(i * 0.13);
      const ahead = unit([Math.sin(yaw) * Math.cos(pitch), Math.sin(pitch), Math.cos(yaw) * Math.cos(pitch)]);
      const side: vector = [Math.cos(yaw), 0, -Math.sin(yaw)];
      const down: vector = [ahead[1] * side[2] - ahead[2] * side[1], ahead[2] * side[0] - ahead[0] * side[2],
        ahead[0] * side[1] - ahead[1] * side[0]];
      const x = side.map((v, k) => v * Math.cos(roll) + down[k] * Math.sin(roll)),
        y = down.map((v, k) => v * Math.cos(roll) - side[k] * Math.sin(roll));
      e.add(Float64Array.of(x[0], y[0], ahead[0], 0, x[1], y[1], ahead[1], 0, x[2], y[2], ahead[2], 0, 0, 0, 0, 1));
      const shown = turned(upright_of(e.up), [0, 0, 1]);
      if (last) swing = Math.max(swing, Math.abs(Math.atan2(last[0] * shown[2] - last[2] * shown[0],
        last[0] * shown[0] + last[2] * shown[2])));
      last = shown;
    }
    expect((swing * 180) / Math.PI).toBeLessThan(5);
  });

  test("up is not pulled to an axis that it is near", () => {
    const e = new up_estimate(), up = unit([0.03, -1, 0.02]);
    const x = unit([1, 0.03, 0]);
    const z: vector = [x[1] * -up[2] - x[2] * -up[1], x[2] * -up[0] - x[0] * -up[2], x[0] * -up[1] - x[1] * -up[0]];
    e.add(Float64Array.of(x[0], -up[0], z[0], 0, x[1], -up[1], z[1], 0, x[2], -up[2], z[2], 0, 0, 0, 0, 1));
    expect(angle_between(e.up, up)).toBeLessThan(1e-6);
  });
});

/// Vertices that have nothing but normals.
function bearing(list: vector[]): shaped_mesh {
  const normals = new Int16Array(2 * list.length);
  list.forEach((n, i) => encode_octahedral(...n, normals, 2 * i));
  return { normals, positions: new Float32Array(3 * list.length), colours: new Uint8Array(0), indices: new Uint16Array(0),
    bounds: new Float32Array(6), border: 0 };
}

describe("the floor", () => {
  let seed = 7;
  const random = (): number => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) / 2 ** 32 - 0.5;
  const scattered = (around: vector, count: number, spread: number): vector[] =>
    Array.from({ length: count }, () => unit([0, 1, 2].map((k) => around[k] + spread * random()) as vector));

  test("is found where the cameras' up leans, among walls, and a ceiling counts too", () => {
    const true_up = unit([0.1, -1, 0.02]);
    const mesh = bearing([...scattered([1, 0.1, 0], 4000, 0.2), ...scattered(true_up, 1200, 0.08),
      ...scattered(true_up.map((v) => -v) as vector, 900, 0.08)]);
    const found = floor_up([mesh], 6100, [0, -1, 0])!;
    expect((angle_between(found, true_up) * 180) / Math.PI).toBeLessThan(0.5);
    expect(dot(found, [0, -1, 0])).toBeGreaterThan(0);
  });

  test("is not guessed: from walls alone, from a ramp beyond 15 degrees, from what points everywhere", () => {
    expect(floor_up([bearing(scattered([1, 0, 0], 5000, 0.2))], 5000, [0, -1, 0])).toBeUndefined();
    expect(floor_up([bearing(scattered(unit([0.5, -1, 0]), 5000, 0.05))], 5000, [0, -1, 0])).toBeUndefined();
    expect(floor_up([bearing(scattered([0, 0, 0], 9000, 1))], 9000, [0, -1, 0])).toBeUndefined();
    expect(floor_up([], 0, [0, -1, 0])).toBeUndefined();
  });
});

describe("framing", () => {
  const right: vector = [1, 0, 0], up: vector = [0, 1, 0], back: vector = [0, 0, 1], half = Math.tan((55 * Math.PI) / 360);
  const seen = (points: Float32Array, eye: vector, width: number, height: number) =>
    Array.from({ length: points.length / 3 }, (_, i) => {
      const depth = eye[2] - points[3 * i + 2];
      return { x: (0.5 + (points[3 * i] - eye[0]) / (2 * depth * half * (width / height))) * width,
        y: (0.5 - (points[3 * i + 1] - eye[1]) / (2 * depth * half)) * height, depth };
    });

  test.each([[1440, 900], [390, 844], [800, 800]])("fills the width or the height of %i x %i, and no more", (width, height) => {
    const points = Float32Array.from({ length: 3 * 500 },
      (_, i) => [7 * Math.sin(i * 1.3), 1.5 * Math.sin(i * 0.7), 3 * Math.cos(i * 2.1)][i % 3]);
    const inset = { left: 0, right: width > 1000 ? 250 : 0, top: 50, bottom: 10 };
    const f = frame_points(points, right, up, back, half, width, height, inset)!;
    const at = seen(points, f.eye, width, height);
    const xs = at.map((p) => p.x), ys = at.map((p) => p.y);
    expect(Math.min(...at.map((p) => p.depth))).toBeGreaterThan(0);
    expect(Math.min(...xs)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...xs)).toBeLessThanOrEqual(width - inset.right);
    expect(Math.min(...ys)).toBeGreaterThanOrEqual(inset.top - 1);
    const fills_width = (Math.max(...xs) - Math.min(...xs)) / (width - inset.right),
      fills_height = (Math.max(...ys) - Math.min(...ys)) / (height - 60);
    expect(Math.max(fills_width, fills_height)).toBeGreaterThan(0.85);
  });

  test("a few stray points do not make everything small", () => {
    const points = new Float32Array(3 * 2000);
    for (let i = 0; i < 2000; i++) points.set([Math.sin(i), Math.cos(i * 1.7), Math.sin(i * 0.3)], 3 * i);
    const whole = frame_points(points, right, up, back, half, 1000, 800, { left: 0, right: 0, top: 0, bottom: 0 })!;
    points.set([500, 0, 0], 0);
    const strayed = frame_points(points, right, up, back, half, 1000, 800, { left: 0, right: 0, top: 0, bottom: 0 })!;
    expect(strayed.distance / whole.distance).toBeCloseTo(1, 1);
  });

  test("nothing has no frame", () => expect(frame_points(new Float32Array(0), right, up, back, half, 100, 100,
    { left: 0, right: 0, top: 0, bottom: 0 })).toBeUndefined());
});

describe("a link to a view", () => {
  const nothing = { view: undefined, settings: {}, following: false, region: undefined, clip: undefined };
  test("keeps the eye, the mode, the shading, the region and the cut", () => {
    const view = { eye: [1.25, -3, 0.5] as vector, forward: [0, 0.6, 0.8] as vector, distance: 4.5, mode: "fly" as const };
    const box: [vector, vector] = [[0, 0, 0], [1, 2, 3]];
    const state = { view, settings: { shading: "height" as const }, following: false, region: [-1, 0, 12] as vector, clip: box };
    const text = write_view_link(state);
    expect(read_view_link(`#${text}`)).toEqual(state);
    expect(read_view_link(text)).toEqual(state);
    expect(text).toBe("eye=1.25,-3,0.5&look=0,0.6,0.8&reach=4.5&fly&region=-1,0,12&shade=height&cut=0,0,0,1,2,3");
  });
  test("may have a region alone, which is put into view then",
    () => expect(read_view_link("region=3,-4,0")).toEqual({ ...nothing, region: [3, -4, 0] }));
  test("following has no eye of its own", () => {
    const text = write_view_link({ ...nothing, view: { eye: [1, 2, 3], forward: [0, 0, 1], distance: 1, mode: "orbit" },
      following: true });
    expect(read_view_link(text)).toEqual({ ...nothing, following: true });
  });
  test.each(["", "#", "#eye=1,2", "#eye=1,2,3", "#eye=a,b,c&look=0,0,1", "#eye=1,2,3&look=0,0,0", "#eye=1e99,0,0&look=0,0,1",
    "#eye=1,2,3&look=0,0,1&reach=-1", "#shade=neon", "#cut=1,1,1,0,0,0", "#region=1,2", "#region=0.5,1,2", "#region=a",
    "#%%%&=&&"])(
    "%j makes no view", (hash) => expect(read_view_link(hash)).toEqual(nothing));
  test.each([999_999_999, 1e9, -999_999_999.7])("an eye as far away as %d is read again as it was written", (far) => {
    const read = read_view_link(`eye=${far},0,0&look=0,0,1&reach=${Math.abs(far)}`);
    expect(read.view?.eye[0]).toBe(far);
    expect(read_view_link(write_view_link(read)).view).toEqual({ eye: [Math.sign(far) * 1e9, 0, 0], forward: [0, 0, 1],
      distance: 1e9, mode: "orbit" });
  });
  test("is shared without the token", () => {
    expect(shared_address(new URL("http://host:8080/maps/?token=s3cret&server=a:1#old"), "region=1,2,3"))
      .toBe("http://host:8080/maps/?server=a%3A1#region=1,2,3");
    expect(shared_address(new URL("http://host:8080/?token=s3cret"), "follow")).toBe("http://host:8080/#follow");
  });
});

test("the address keeps what is chosen without a view, and a value with a plus", () => {
  let written = "";
  vi.stubGlobal("location", { hash: "" });
  vi.stubGlobal("history", { state: null, replaceState: (_s: unknown, _t: string, at: string) => (written = at) });
  const state = { view: undefined, following: false, region: undefined, clip: undefined };
  const defaults = Object.fromEntries(setting_names.map((name) => [name, row_of(name).default])) as unknown as settings;
  new kept_address().write({ ...state, settings: { ...defaults, grid: false } });
  expect(written).toBe("");
  new kept_address().write({ ...state, settings: { ...defaults, shading: "clay" } });
  expect(read_view_link(written).settings.shading).toBe("clay");
  new kept_address().write({ ...state, settings: { ...defaults, up: "+y" } });
  expect(written).not.toContain("+");
  expect(read_view_link(written).settings.up).toBe("+y");
  vi.unstubAllGlobals();
});

test("the directions of the picture are called by the map's axes where they lie along them", () => {
  expect(level_names(upright_of([0, -1, 0]))).toEqual(["+x", "−x", "−z", "+z"]); // half a turn about x
  expect(level_names(upright_of([0, 1, 0]))).toEqual(["+x", "−x", "+z", "−z"]);
  expect(level_names(upright_of([0, 0, 1]))).toEqual(["+x", "−x", "−y", "+y"]);
  expect(level_names([0, Math.sin(0.4), 0, Math.cos(0.4)])[0]).toBe("+x of the picture");
});

describe("actions", () => {
  const key = (k: string, more = {}) => ({ key: k, ctrlKey: false, metaKey: false, altKey: false, repeat: false, target: null,
    ...more });

  test("a key does what its action says, and what shows it is told", () => {
    const done: string[] = [];
    const list = new action_list([{ name: "fit", group: "move", label: "Fit", key: "f", run: () => done.push("fit") },
      { name: "leave", group: "panels", label: "Leave", key: "escape", run: () => done.push("leave") }]);
    list.on_done = () => done.push("shown");
    expect([list.press(key("F")), list.press(key("Escape")), list.press(key("q")), list.press(key("f", { ctrlKey: true })),
      list.press(key("f", { repeat: true }))]).toEqual([true, true, false, false, false]);
    expect(list.press(key("f", { target: { closest: () => ({}) } }))).toBe(false);
    expect(done).toEqual(["fit", "shown", "leave", "shown"]);
  });

  test("no two share a name or a key", () => {
    const one = { name: "a", group: "move", label: "A", key: "a", run: () => {} } as const;
    expect(() => new action_list([one, { ...one, key: "b" }])).toThrow(/named a/);
    expect(() => new action_list([one, { ...one, name: "b" }])).toThrow(/key a/);
  });

  test("a second row of buttons has a group and keys of its own", () => {
    vi.stubGlobal("document", { fullscreenEnabled: true });
    const set: unknown[] = [];
    const now = { ...load_settings(), look: "far" };
    const v = { settings: now, set: (...words: unknown[]) => set.push(words) } as unknown as viewer;
    const options = ["near", "far"].map((value) => ({ value, label: value }));
    const look = { label: "Look", default: "near", apply: () => {}, shown: "buttons", group: "tools", keys: "89", options };
    const second = setting_actions(v, "look" as setting_name, look as unknown as any_row);
    const list = new action_list([...viewer_actions(v), ...second]);
    expect(list.in("shading").map((a) => a.key)).toEqual(["1", "2", "3", "4", "5", "6", "7"]);
    expect(second.map((a) => [a.name, a.group, a.key, a.on!()])).toEqual([
      ["look-near", "tools", "8", false], ["look-far", "tools", "9", true],
    ]);
    list.press(key("8"));
    list.press(key("2"));
    expect(set).toEqual([["look", "near"], ["shading", "photo"]]);
    vi.unstubAllGlobals();
  });

  test("every setting that is no list can be set by an action, and each button has a key", () => {
    vi.stubGlobal("document", { fullscreenEnabled: false });
    const list = new action_list(viewer_actions({} as viewer));
    for (const name of setting_names) {
      const r = row_of(name);
      if (is_switch(r)) expect(list.named(name).group).toBe(r.group);
      if (is_switch(r) || r.shown === "list") continue;
      expect(r.options.map((o) => list.named(option_name(name, o.value)).key)).toEqual([...r.keys]);
    }
    vi.unstubAllGlobals();
  });
});
