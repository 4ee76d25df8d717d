// Where the floor lies, from the surfaces themselves: cameras are held upright only about, floors and tables are level.

import { dot, unit, type vector } from "./orientation";
import { decode_octahedral, type shaped_mesh } from "../stream/shaping";

/// Surfaces that lean by more than this against the cameras' up are no floor.
const reach_deg = 15;
/// What leans together within this angle is one plane (or parallel ones).
const peak_deg = 4;
const samples = 24_000;
const bins = 2 * reach_deg + 1;

/// The direction that level surfaces (floors, tables and, turned over, ceilings) agree on, within 15 degrees of `near`; undefined
/// if there are too few, or they do not agree. `vertices` is how many vertices all meshes have.
export function floor_up(meshes: Iterable<shaped_mesh>, vertices: number, near: vector): vector | undefined {
  const stride = Math.max(1, Math.floor(vertices / samples));
  const up = unit(near);
  const side = unit(Math.abs(up[0]) < 0.8 ? [0, up[2], -up[1]] : [-up[2], 0, up[0]]);
  const front: vector = [up[1] * side[2] - up[2] * side[1], up[2] * side[0] - up[0] * side[2], up[0] * side[1] - up[1] * side[0]];
  const level: vector[] = [], counts = new Float64Array(bins * bins);
  const least = Math.cos((reach_deg * Math.PI) / 180);
  let looked = 0, phase = 0;
  for (const m of meshes) {
    const count = m.normals.length / 2;
    for (; phase < count; phase += stride) {
      looked++;
      let n = decode_octahedral(m.normals, 2 * phase) as vector;
      let rise = dot(n, up);
      if (Math.abs(rise) < least) continue;
      if (rise < 0) {
        n = [-n[0], -n[1], -n[2]];
        rise = -rise;
      }
      level.push(n);
      const bin = (v: number): number => Math.round((Math.atan(v / rise) * 180) / Math.PI) + reach_deg;
      counts[bin(dot(n, side)) * bins + bin(dot(n, front))]++;
    }
    phase -= count;
  }
  if (level.length < 200 || level.length < 0.04 * looked) return undefined;
  let best = -1, peak = 0;
  for (let i = 1; i < bins - 1; i++)
    for (let j = 1; j < bins - 1; j++) {
      let sum = 0;
      for (let di = -1; di <= 1; di++) for (let dj = -1; dj <= 1; dj++) sum += counts[(i + di) * bins + j + dj];
      if (sum <= best) continue;
      best = sum;
      peak = i * bins + j;
    }
  const lean = (bin: number): number => Math.tan(((bin - reach_deg) * Math.PI) / 180);
  const a = lean(Math.floor(peak / bins)), b = lean(peak % bins);
  let found = unit([0, 1, 2].map((k) => up[k] + a * side[k] + b * front[k]) as vector);
  const close = Math.cos((peak_deg * Math.PI) / 180);
  let agree = 0;
  for (let round = 0; round < 8; round++) {
    const sum: vector = [0, 0, 0];
    agree = 0;
    for (const n of level) {
      if (dot(n, found) < close) continue;
      agree++;
      for (let k = 0; k < 3; k++) sum[k] += n[k];
    }
    if (!agree) return undefined;
    found = unit(sum);
  }
  return agree >= 0.3 * level.length && dot(found, up) > least ? found : undefined;
}
