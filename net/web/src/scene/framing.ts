// Where an eye must be to see points as large as they fit: exactly, for a given direction. Pure functions.

import type { vector } from "./orientation";
import { dot } from "./orientation";

/// Pixels at the canvas's sides that panels cover.
export interface insets {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

export interface framing {
  eye: vector;
  /// How far in front of the eye the middle of the points is.
  distance: number;
}

/// An eye whose axes are `right`, `up` and `back` (unit, at right angles) sees all but the outermost few of `points` (x y z each)
/// between the insets, with the sides or top and bottom just touched. `half` is the tangent of half the vertical field of view.
export function frame_points(points: Float32Array, right: vector, up: vector, back: vector, half: number, width: number,
  height: number, inset: insets): framing | undefined {
  const count = Math.floor(points.length / 3);
  if (!count) return undefined;
  const margin = 0.94, across = (half * width) / height;
  const span = (tangent: number, covered: number, size: number): number =>
    margin * tangent * Math.max(0.2, 1 - (2 * covered) / size);
  const tangents = [span(across, inset.right, width), span(across, inset.left, width), span(half, inset.top, height),
    span(half, inset.bottom, height)];
  // Each side of the view is a plane through the eye; for each, how far out the points want it.
  const wants = tangents.map(() => new Float64Array(count));
  const depths = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const p: vector = [points[3 * i], points[3 * i + 1], points[3 * i + 2]];
    const x = dot(p, right), y = dot(p, up), z = dot(p, back);
    depths[i] = z;
    wants[0][i] = x + tangents[0] * z;
    wants[1][i] = -x + tangents[1] * z;
    wants[2][i] = y + tangents[2] * z;
    wants[3][i] = -y + tangents[3] * z;
  }
  const last = Math.min(count - 1, Math.floor(0.998 * count));
  const [r, l, t, b] = wants.map((w) => w.sort()[last]);
  depths.sort();
  const z = Math.max((r + l) / (tangents[0] + tangents[1]), (t + b) / (tangents[2] + tangents[3]), depths[last]);
  const x = (r - tangents[0] * z + tangents[1] * z - l) / 2, y = (t - tangents[2] * z + tangents[3] * z - b) / 2;
  const eye = [0, 1, 2].map((k) => x * right[k] + y * up[k] + z * back[k]) as vector;
  return { eye, distance: Math.max(z - depths[count >> 1], 1e-6) };
}
