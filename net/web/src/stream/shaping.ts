// From a decoded mesh to what the GPU gets: vertex normals, the region's border vertices first, small types. Pure functions.

/// What Draco gives: integer positions (x y z), colours (r g b and one byte of padding), triangles.
export interface decoded_mesh {
  positions: Int32Array;
  colours: Uint8Array;
  indices: Uint32Array;
}

export interface shaped_mesh {
  /// Integer coordinates in units of the quantisation grid, exact up to 2^24.
  positions: Float32Array<ArrayBuffer>;
  /// Octahedral unit normals, two 16-bit signed values each.
  normals: Int16Array<ArrayBuffer>;
  /// sRGB and 255.
  colours: Uint8Array<ArrayBuffer>;
  indices: Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;
  /// min x y z, max x y z, in units of the grid.
  bounds: Float32Array<ArrayBuffer>;
  /// Vertices 0 .. border-1 lie on the mesh's open edge: neighbours may share them.
  border: number;
}

/// Sums each vertex's triangle normals, weighted by area. Positions are integers, so the sums are exact and do not depend on
/// order.
export function normal_sums(positions: Int32Array, indices: Uint32Array): Float64Array {
  const sums = new Float64Array(positions.length);
  for (let t = 0; t < indices.length; t += 3) {
    const a = 3 * indices[t], b = 3 * indices[t + 1], c = 3 * indices[t + 2];
    const ux = positions[b] - positions[a], uy = positions[b + 1] - positions[a + 1], uz = positions[b + 2] - positions[a + 2];
    const vx = positions[c] - positions[a], vy = positions[c + 1] - positions[a + 1], vz = positions[c + 2] - positions[a + 2];
    const nx = uy * vz - uz * vy, ny = uz * vx - ux * vz, nz = ux * vy - uy * vx;
    sums[a] += nx; sums[a + 1] += ny; sums[a + 2] += nz;
    sums[b] += nx; sums[b + 1] += ny; sums[b + 2] += nz;
    sums[c] += nx; sums[c + 1] += ny; sums[c + 2] += nz;
  }
  return sums;
}

/// Marks the vertices on the mesh's open edge. Around an inner vertex the triangles close a ring: every neighbour follows once
/// and precedes once, so the sum of (next - previous), over scrambled vertex numbers, is zero; at an open fan it is not.
export function border_flags(vertices: number, indices: Uint32Array): Uint8Array {
  const ring = new Int32Array(vertices);
  const scramble = (v: number): number => {
    const h = Math.imul(v ^ (v >>> 15), 0x2c1b3c6d);
    return Math.imul(h ^ (h >>> 12), 0x297a2d39);
  };
  for (let t = 0; t < indices.length; t += 3) {
    const a = indices[t], b = indices[t + 1], c = indices[t + 2];
    const ha = scramble(a + 1), hb = scramble(b + 1), hc = scramble(c + 1);
    ring[a] += hb - hc;
    ring[b] += hc - ha;
    ring[c] += ha - hb;
  }
  const flags = new Uint8Array(vertices);
  for (let v = 0; v < vertices; v++) flags[v] = ring[v] !== 0 ? 1 : 0;
  return flags;
}

/// Writes the octahedral form of a direction (any length) to out[at], out[at + 1].
export function encode_octahedral(x: number, y: number, z: number, out: Int16Array, at: number): void {
  const length = Math.abs(x) + Math.abs(y) + Math.abs(z);
  if (!(length > 0)) {
    out[at] = 0;
    out[at + 1] = 0;
    return;
  }
  let u = x / length, v = y / length;
  if (z < 0) {
    const w = u;
    u = (1 - Math.abs(v)) * (w >= 0 ? 1 : -1);
    v = (1 - Math.abs(w)) * (v >= 0 ? 1 : -1);
  }
  out[at] = Math.round(u * 32767);
  out[at + 1] = Math.round(v * 32767);
}

/// The unit vector of an octahedral normal.
export function decode_octahedral(normals: Int16Array, at: number): [number, number, number] {
  let x = normals[at] / 32767, y = normals[at + 1] / 32767;
  const z = 1 - Math.abs(x) - Math.abs(y);
  if (z < 0) {
    const w = x;
    x = (1 - Math.abs(y)) * (w >= 0 ? 1 : -1);
    y = (1 - Math.abs(w)) * (y >= 0 ? 1 : -1);
  }
  const length = Math.hypot(x, y, z) || 1;
  return [x / length, y / length, z / length];
}

/// A place as one number, equal for equal places; 53 bits of hash, so that a million different places hardly ever meet.
export function place_hash(x: number, y: number, z: number): number {
  let h1 = Math.imul(x ^ (x >>> 16), 0x85ebca6b) ^ Math.imul(y, 0x9e3779b1) ^ Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
  let h2 = Math.imul(y ^ (y >>> 15), 0x2c1b3c6d) ^ Math.imul(z, 0x297a2d39) ^ Math.imul(x ^ (x >>> 11), 0x165667b1);
  h1 = Math.imul(h1 ^ (h1 >>> 16), 0x7feb352d) ^ Math.imul(h2 ^ (h2 >>> 15), 0x846ca68b);
  h2 = Math.imul(h2 ^ (h2 >>> 13), 0x27d4eb2f) ^ Math.imul(h1 ^ (h1 >>> 16), 0x9e3779b1);
  return (h1 >>> 0) * 2097152 + ((h2 >>> 0) & 0x1fffff);
}

/// What does not add up in a decoded mesh, or undefined if it is sound.
export function fault_of(mesh: decoded_mesh): string | undefined {
  const vertices = mesh.positions.length / 3;
  if (!Number.isInteger(vertices) || vertices === 0) return `its ${mesh.positions.length} coordinates are not whole vertices`;
  if (mesh.colours.length !== 4 * vertices) return `it has ${mesh.colours.length / 4} colours for ${vertices} vertices`;
  if (mesh.indices.length === 0 || mesh.indices.length % 3 !== 0)
    return `its ${mesh.indices.length} indices are not whole triangles`;
  for (const i of mesh.indices) if (i >= vertices) return `an index is ${i}, and there are ${vertices} vertices`;
  return undefined;
}

/// Shapes a decoded mesh. `border_places` and `border_sums` are what border_table needs to join neighbours.
export function shape(mesh: decoded_mesh): { shaped: shaped_mesh; border_places: Float64Array; border_sums: Float64Array } {
  const vertices = mesh.positions.length / 3;
  const sums = normal_sums(mesh.positions, mesh.indices);
  const flags = border_flags(vertices, mesh.indices);
  let border = 0;
  for (const f of flags) border += f;

  const moved = new Uint32Array(vertices);
  let next_border = 0, next_inner = border;
  for (let v = 0; v < vertices; v++) moved[v] = flags[v] ? next_border++ : next_inner++;

  const positions = new Float32Array(3 * vertices);
  const normals = new Int16Array(2 * vertices);
  const colours = new Uint8Array(4 * vertices);
  const border_places = new Float64Array(border);
  const border_sums = new Float64Array(3 * border);
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  for (let v = 0; v < vertices; v++) {
    const to = moved[v];
    const x = mesh.positions[3 * v], y = mesh.positions[3 * v + 1], z = mesh.positions[3 * v + 2];
    positions[3 * to] = x; positions[3 * to + 1] = y; positions[3 * to + 2] = z;
    if (x < low[0]) low[0] = x;
    if (x > high[0]) high[0] = x;
    if (y < low[1]) low[1] = y;
    if (y > high[1]) high[1] = y;
    if (z < low[2]) low[2] = z;
    if (z > high[2]) high[2] = z;
    colours[4 * to] = mesh.colours[4 * v]; colours[4 * to + 1] = mesh.colours[4 * v + 1]; colours[4 * to + 2] = mesh.colours[4 * v
      + 2];
    colours[4 * to + 3] = 255;
    encode_octahedral(sums[3 * v], sums[3 * v + 1], sums[3 * v + 2], normals, 2 * to);
    if (to < border) {
      border_places[to] = place_hash(x, y, z);
      border_sums.set(sums.subarray(3 * v, 3 * v + 3), 3 * to);
    }
  }
  const indices = vertices <= 65535 ? new Uint16Array(mesh.indices.length) : new Uint32Array(mesh.indices.length);
  for (let i = 0; i < indices.length; i++) indices[i] = moved[mesh.indices[i]];
  const bounds = Float32Array.from([...low, ...high]);
  return { shaped: { positions, normals, colours, indices, bounds, border }, border_places, border_sums };
}
