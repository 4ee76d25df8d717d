import { describe, expect, test } from "vitest";
import { camera_set } from "../src/scene/cameras";
import { eigen_symmetric, up_estimate, type vector } from "../src/scene/orientation";
import { scale_of } from "../src/scene/pose";

const cross = (a: vector, b: vector): vector => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const unit = (a: vector): vector => a.map((v) => v / Math.hypot(...a)) as vector;

/// A camera held level (x axis horizontal), looking along `ahead`, in a world where `up` is up.
function held(up: vector, ahead: vector): Float64Array {
  const z = unit(ahead), x = unit(cross(z, up)), y = cross(z, x);
  return Float64Array.of(x[0], y[0], z[0], 0, x[1], y[1], z[1], 0, x[2], y[2], z[2], 0, 0, 0, 0, 1);
}

describe("which way is up", () => {
  test("without cameras: against a camera's y", () => expect(new up_estimate().up).toEqual([0, -1, 0]));

  test("cameras that all look down at a slant, all around, still give the true up", () => {
    const up = unit([0.3, 0.9, -0.4]), side = unit(cross(up, [1, 0, 0])), front = cross(side, up);
    const e = new up_estimate();
    for (let i = 0; i < 30; i++) {
      const turn = i * 0.11;
      e.add(held(up, [0, 1, 2].map((k) => side[k] * Math.cos(turn) + front[k] * Math.sin(turn) - 0.6 * up[k]) as vector));
    }
    const found = e.up;
    expect(found[0] * up[0] + found[1] * up[1] + found[2] * up[2]).toBeGreaterThan(0.9999);
  });

  test("a camera that went leaves no trace", () => {
    const e = new up_estimate(), stays = held([0, 0, 1], [1, 0, 0]), goes = held([0, 1, 0], [0, 0, 1]);
    e.add(stays);
    e.add(goes);
    e.add(goes, -1);
    expect(e.up).toEqual([0, 0, 1]);
  });

  test("a camera counts the same whatever its pose's scale is", () => {
    const one = new up_estimate(), other = new up_estimate();
    const poses = [held([0, 0, 1], [1, 0, 0]), held([0, 0.6, 0.8], [1, 0, 0])];
    const scaled = (pose: Float64Array, by: number): Float64Array => pose.map((v, i) => (i % 4 < 3 ? v * by : v));
    poses.forEach((pose, i) => {
      one.add(pose);
      other.add(scaled(pose, [0.5, 1.4][i]));
    });
    other.up.forEach((v, i) => expect(v).toBeCloseTo(one.up[i], 12));
    expect(scale_of(scaled(poses[1], 1.4))).toBeCloseTo(1.4, 12);
    expect(scale_of(scaled(poses[1], 1.0002))).toBe(1);
  });

  test("eigenvectors of a known matrix", () => {
    const { values, vectors } = eigen_symmetric(Float64Array.of(2, 1, 0, 1, 2, 0, 0, 0, 5));
    const order = [0, 1, 2].sort((a, b) => values[a] - values[b]);
    expect(order.map((i) => values[i]).map((x) => Math.round(x * 1e9) / 1e9)).toEqual([1, 3, 5]);
    expect(Math.abs(vectors[order[0]][0] + vectors[order[0]][1])).toBeLessThan(1e-9);
  });
});

describe("cameras", () => {
  const camera = (id: string, timestamp_ns: bigint) => ({ id, timestamp_ns, pose: held([0, -1, 0], [0, 0, 1]) });

  test("are kept by id, sorted by time, and go when told", () => {
    const c = new camera_set();
    c.take({ type: "cameras", set: [camera("b", 2n), camera("a", 1n), camera("c", 3n)], gone: [] });
    expect(c.newest?.id).toBe("c");
    c.take({ type: "cameras", set: [camera("a", 9n)], gone: ["c", "never"] });
    expect(c.sorted().map((x) => x.id)).toEqual(["b", "a"]);
    expect(c.newest?.id).toBe("a");
  });

  test("the newest is the one that came last, whatever its producer's clock says, also when others go or come again", () => {
    const c = new camera_set();
    c.take({ type: "cameras", set: [camera("a", 900n), camera("b", 5n), camera("c", 7n)], gone: [] });
    expect(c.newest?.id).toBe("c");
    c.take({ type: "cameras", set: [camera("a", 901n)], gone: [] });
    expect(c.newest?.id).toBe("c");
    c.take({ type: "cameras", set: [camera("c", 1n)], gone: [] });
    expect(c.newest?.timestamp_ns).toBe(1n);
    c.take({ type: "cameras", set: [], gone: ["c"] });
    expect(c.newest?.id).toBe("b");
    c.take({ type: "cameras", set: [], gone: ["a", "b"] });
    expect(c.newest).toBeUndefined();
    expect(c.up.up).toEqual([0, -1, 0]);
  });

  test("after the stream began again there are those that the service tells then, and none if it tells none", () => {
    const c = new camera_set();
    c.take({ type: "cameras", set: [camera("a", 1n), camera("b", 2n)], gone: [] });
    c.renew();
    expect(c.size).toBe(2);
    expect(c.counted()).toBe(false);
    c.take({ type: "cameras", set: [camera("b", 2n)], gone: [] });
    c.take({ type: "cameras", set: [camera("d", 3n)], gone: [] });
    expect([c.counted(), c.counted()]).toEqual([false, false]);
    expect(c.sorted().map((x) => x.id)).toEqual(["b", "d"]);
    c.renew();
    expect([c.counted(), c.size, c.counted(), c.size, c.counted()]).toEqual([false, 2, true, 0, false]);
  });

  test("are bounded", () => {
    const c = new camera_set();
    c.take({ type: "cameras", set: Array.from({ length: 20_500 }, (_, i) => camera(`k${i}`, BigInt(i))), gone: [] });
    expect(c.size).toBe(20_000);
    expect(c.sorted()[0].id).toBe("k500");
  });
});
