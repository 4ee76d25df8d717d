// Which way is up in the map: SLAM's world is often its first camera's frame, so it is asked from the cameras. docs/protocol.md,
// "Orientation", has the rule; the service's files follow it too.

import { scale_of } from "./pose";

export type vector = [number, number, number];
export type up_choice = "auto" | "+x" | "-x" | "+y" | "-y" | "+z" | "-z";
export const up_choices: up_choice[] = ["auto", "-y", "+y", "+z", "-z", "+x", "-x"];

export const dot = (a: vector, b: vector): number => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const scaled = (a: vector, s: number): vector => [a[0] * s, a[1] * s, a[2] * s];
export const unit = (a: vector): vector => scaled(a, 1 / (Math.hypot(...a) || 1));

/// A rotation as x y z w.
export type quaternion = [number, number, number, number];

/// The rotation that turns the map upright, in a way that small changes of `up` turn the map by as little. No single rule can do
/// that for every `up`, so there are two, and they meet where nobody's up is. Within 60 degrees of +y the map is upright already,
/// but for the shortest arc. Elsewhere it is half a turn about x, which is what a camera's frame (y down, z ahead) needs, and
/// then the shortest arc from where that takes `up`. Saved files use the same rules.
export function upright_of(up: vector): quaternion {
  const [x, y, z] = unit(up);
  const turn: quaternion = y > 0.5 ? [-z, 0, x, 1 + y] : [1 - y, x, 0, -z];
  const length = Math.hypot(...turn);
  return turn.map((v) => v / length) as quaternion;
}

/// Angle between two directions, radians.
export const angle_between = (a: vector, b: vector): number => Math.acos(Math.min(1, Math.max(-1, dot(unit(a), unit(b)))));

/// A map's axis that the upright map has along a direction of the picture ("+x"), to within 10 degrees; undefined if there is
/// none.
export function axis_along(upright: quaternion, direction: vector): Exclude<up_choice, "auto"> | undefined {
  const [x, y, z, w] = upright;
  const turned = ([a, b, c]: vector): vector => {
    const t: vector = [2 * (y * c - z * b), 2 * (z * a - x * c), 2 * (x * b - y * a)];
    return [a + w * t[0] + y * t[2] - z * t[1], b + w * t[1] + z * t[0] - x * t[2], c + w * t[2] + x * t[1] - y * t[0]];
  };
  return up_choices.filter((c) => c !== "auto").find((c) => angle_between(turned(axis_of(c)), direction) < Math.PI / 18);
}

export function axis_of(choice: Exclude<up_choice, "auto">): vector {
  const axis: vector = [0, 0, 0];
  axis["xyz".indexOf(choice[1])] = choice[0] === "+" ? 1 : -1;
  return axis;
}

/// Sums of what cameras tell; poses are added and taken away in any order.
export class up_estimate {
  private count_ = 0;
  /// Sum of -y axes: cameras are mostly held upright.
  private up_: vector = [0, 0, 0];
  /// Sum of x x^T: people turn and tilt cameras, but roll them little, so x axes lie in the horizontal plane.
  private spread_ = new Float64Array(9);

  add(pose: Float64Array, sign: 1 | -1 = 1): void {
    this.count_ += sign;
    const by = 1 / scale_of(pose);
    const x: vector = [pose[0] * by, pose[4] * by, pose[8] * by];
    const y: vector = [pose[1] * by, pose[5] * by, pose[9] * by];
    for (let i = 0; i < 3; i++) {
      this.up_[i] -= sign * y[i];
      for (let j = 0; j < 3; j++) this.spread_[3 * i + j] += sign * x[i] * x[j];
    }
  }

  clear(): void {
    this.count_ = 0;
    this.up_ = [0, 0, 0];
    this.spread_.fill(0);
  }

  /// The estimated up direction; -y (a camera's own up) before there are cameras.
  get up(): vector {
    if (this.count_ <= 0 || Math.hypot(...this.up_) < 1e-9) return [0, -1, 0];
    const mean = unit(this.up_), level = this.level_();
    return level && Math.abs(dot(level, mean)) > 0.5 ? scaled(level, Math.sign(dot(level, mean))) : mean;
  }

  /// The direction that x axes avoid, if they point in different enough directions to tell.
  private level_(): vector | undefined {
    const { values, vectors } = eigen_symmetric(this.spread_);
    const order = [0, 1, 2].sort((a, b) => values[a] - values[b]);
    const [least, middle] = order;
    const clear = values[middle] > 0.02 * this.count_ && values[least] < 0.2 * values[middle];
    return clear ? unit(vectors[least]) : undefined;
  }
}

/// Eigenvalues and unit eigenvectors of a symmetric 3x3 matrix, by Jacobi rotations.
export function eigen_symmetric(matrix: Float64Array): { values: vector; vectors: [vector, vector, vector] } {
  const a = Float64Array.from(matrix);
  const v = Float64Array.from([1, 0, 0, 0, 1, 0, 0, 0, 1]);
  for (let sweep = 0; sweep < 12; sweep++)
    for (const [p, q] of [[0, 1], [0, 2], [1, 2]]) {
      const off = a[3 * p + q];
      if (Math.abs(off) < 1e-15) continue;
      const theta = (a[4 * q] - a[4 * p]) / (2 * off);
      const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
      const c = 1 / Math.sqrt(t * t + 1), s = t * c;
      for (let k = 0; k < 3; k++) {
        const kp = a[3 * k + p], kq = a[3 * k + q];
        a[3 * k + p] = c * kp - s * kq;
        a[3 * k + q] = s * kp + c * kq;
      }
      for (let k = 0; k < 3; k++) {
        const pk = a[3 * p + k], qk = a[3 * q + k];
        a[3 * p + k] = c * pk - s * qk;
        a[3 * q + k] = s * pk + c * qk;
      }
      for (let k = 0; k < 3; k++) {
        const kp = v[3 * k + p], kq = v[3 * k + q];
        v[3 * k + p] = c * kp - s * kq;
        v[3 * k + q] = s * kp + c * kq;
      }
    }
  const column = (i: number): vector => [v[i], v[3 + i], v[6 + i]];
  return { values: [a[0], a[4], a[8]], vectors: [column(0), column(1), column(2)] };
}
