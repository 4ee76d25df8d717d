import { Box3, Quaternion, Sphere, Vector3 } from "three";
import { beforeEach, expect, test } from "vitest";
import { camera_set } from "../src/scene/cameras";
import { standpoint, type standpoint_parts } from "../src/scene/standpoint";

let sphere: Sphere | undefined, part: Float32Array | undefined, seen: string[], framed: number, faced: number, turned: number,
  held: boolean, touched: boolean, following: boolean;
const cameras = new camera_set(), upright = new Quaternion(), eye = new Vector3();

/// A standpoint whose map is `sphere`, and whose view counts how often it is put right.
function stand(): standpoint {
  const parts = {
    scene: {
      surfaces: { vertices: 0, meshes: () => [], bounds: new Box3() },
      world_sphere: () => sphere?.clone(),
      world_points: () => new Float32Array(6),
      region_corners: () => part,
      upright,
      set_upright: (q: Quaternion) => {
        turned++;
        upright.copy(q);
        return new Quaternion();
      },
      to_world: (v: [number, number, number]) => new Vector3(...v),
      to_map: (v: Vector3) => v.toArray(),
      outlook_of: () => ({ position: new Vector3(), forward: new Vector3(0, 0, -1) }),
    },
    cameras,
    controls: {
      get touched() { return touched; },
      set touched(on) { touched = on; },
      set_radius: () => {}, turn_with: () => void seen.push("turned"), face: () => void faced++,
      get following() { return following; },
      follow: (on: boolean) => void (following = on),
      frame: (points: Float32Array) => {
        framed++;
        seen.push(points === part ? "part" : "whole");
      },
      set_view: () => void seen.push("view"),
      get view() { return { position: eye.clone(), forward: new Vector3(0, 0, 1), distance: 1 }; },
      mode: "orbit",
    },
    gestures: { idle_ms: () => 1e9 },
    settings: { up: "auto" },
    insets: () => ({ left: 0, right: 0, top: 0, bottom: 0 }),
    held: () => held,
    turned: () => {},
  };
  return new standpoint(parts as unknown as standpoint_parts);
}

const ball = (x: number, radius: number): Sphere => new Sphere(new Vector3(x, 0, 0), radius);
const camera = { id: "a", timestamp_ns: 1n, pose: Float64Array.of(1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1) };

beforeEach(() => {
  sphere = part = undefined;
  seen = [];
  framed = faced = turned = 0;
  held = touched = following = false;
  cameras.clear();
  upright.set(0, 0, 0, 1);
});

test("an untouched view follows a map that grows, shrinks or moves, and rests while it does not", () => {
  const s = stand();
  cameras.take({ type: "cameras", set: [camera], gone: [] });
  const after = (next: Sphere): number => {
    sphere = next;
    const before = framed;
    s.grown();
    return framed - before;
  };
  expect(after(ball(0, 10))).toBe(1);
  expect(after(ball(0.5, 10.2))).toBe(0);
  expect(after(ball(0, 11))).toBe(1);
  expect(after(ball(1.5, 11))).toBe(0);
  expect(after(ball(1.8, 11))).toBe(1); // as large as before, elsewhere
  expect(after(ball(1.8, 5))).toBe(1);
  touched = true;
  expect(after(ball(90, 50))).toBe(0);
});

test("after all went the view begins behind the newest camera again", () => {
  const s = stand();
  cameras.take({ type: "cameras", set: [camera], gone: [] });
  sphere = ball(0, 10);
  s.grown();
  expect(faced).toBe(1);
  sphere = undefined;
  s.grown();
  sphere = ball(0, 10);
  s.grown();
  expect([faced, framed]).toEqual([2, 2]);
});

test("a picture of another size is framed again until the user takes over", () => {
  const s = stand();
  s.resized();
  expect(framed).toBe(0);
  sphere = ball(0, 10);
  s.grown();
  s.resized();
  expect(framed).toBe(2);
  touched = true;
  s.resized();
  expect(framed).toBe(2);
});

test("a cut holds the map as it is turned, but for the user's own choice", () => {
  const s = stand();
  held = true;
  s.orient();
  expect(turned).toBe(0);
  s.orient(true);
  expect(turned).toBe(1);
  upright.set(0, 0, 0, 1);
  held = false;
  s.orient();
  expect(turned).toBe(2);
});

test("a region that is attended to is framed once it has a surface, until the user takes over", () => {
  const s = stand();
  sphere = ball(0, 10);
  touched = true;
  s.attend([1, 2, 3]);
  expect(touched).toBe(false);
  expect(seen).toEqual(["turned", "whole"]);
  part = Float32Array.of(4, 4, 4, 6, 6, 6);
  s.grown();
  s.grown();
  expect(seen.slice(2)).toEqual(["part"]);
  sphere = ball(0, 20); // what is elsewhere does not matter
  s.grown();
  touched = true;
  part = Float32Array.of(4, 4, 4, 9, 9, 9);
  s.grown();
  expect(seen).toHaveLength(3);
  s.fit();
  expect(seen.slice(3)).toEqual(["whole"]);
  s.fit([1, 2, 3]);
  expect(seen.slice(4)).toEqual(["part"]);
});

test("a view that a link brought is taken again when the map is turned, until the user moves on from it", () => {
  const s = stand();
  const turn = (): void => {
    upright.set(0, 0, 0, 1);
    seen = [];
    s.orient();
  };
  s.restore({ eye: [1, 2, 3], forward: [0, 0, 1], distance: 1, mode: "orbit" });
  turn();
  expect(seen).toEqual(["view"]);
  turn();
  expect(seen).toEqual(["view"]);
  eye.x += 1;
  turn();
  expect(seen).toEqual(["turned"]);
});

test("a view that a link brought ends following; following since then, it is not taken again when the map is turned", () => {
  const s = stand();
  following = true;
  s.restore({ eye: [1, 2, 3], forward: [0, 0, 1], distance: 1, mode: "orbit" });
  expect([following, seen]).toEqual([false, ["view"]]);
  following = true; // and the view is still as the link had it: there is no camera yet
  s.orient();
  expect([following, seen]).toEqual([true, ["view", "turned"]]);
});
