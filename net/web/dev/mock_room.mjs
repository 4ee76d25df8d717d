// A made-up room for the mock server: an exact distance function, what a moving camera has seen of it, and its surface by
// marching tetrahedra, region by region, on one integer grid. Its world is the first camera's frame: x right, y down, z forward.

import draco3d from "draco3d";

const voxel_m = 0.06;
const region_voxels = 32;
const grid_per_voxel = 64;
const size = [132, 64, 112];

/// Distance to the room's surfaces from inside; room coordinates are y-up metres with the corner at 0.
function room_distance(x, y, z) {
  const box = (cx, cy, cz, hx, hy, hz) => {
    const dx = Math.abs(x - cx) - hx, dy = Math.abs(y - cy) - hy, dz = Math.abs(z - cz) - hz;
    return Math.hypot(Math.max(dx, 0), Math.max(dy, 0), Math.max(dz, 0)) + Math.min(Math.max(dx, dy, dz), 0);
  };
  const ball = (cx, cy, cz, r) => Math.hypot(x - cx, y - cy, z - cz) - r;
  const post = (cx, cz, r) => Math.hypot(x - cx, z - cz) - r;
  const walls = -box(3.9, 1.75, 3.3, 3.5, 1.45, 2.95);
  const table = Math.min(box(3.2, 1.02, 3.1, 0.85, 0.045, 0.5),
    ...[[-1, -1], [1, -1], [-1, 1], [1, 1]].map(([a, b]) => Math.max(post(3.2 + 0.75 * a, 3.1 + 0.4 * b, 0.05), y - 1.05)));
  const sofa = Math.min(box(6.6, 0.55, 3.2, 0.5, 0.25, 1.1), box(7.05, 0.9, 3.2, 0.14, 0.45, 1.1));
  const lamp = Math.min(Math.max(post(1.1, 5.4, 0.045), y - 1.9), ball(1.1, 2.0, 5.4, 0.27));
  const shelf = Math.max(box(4.9, 1.3, 0.55, 0.9, 1.0, 0.22), -box(4.9, 1.75, 0.72, 0.82, 0.36, 0.24),
    -box(4.9, 0.9, 0.72, 0.82, 0.36, 0.24));
  return Math.min(walls, table, sofa, lamp, shelf, ball(3.0, 1.27, 3.0, 0.2), ball(3.65, 1.2, 3.25, 0.13));
}

function room_colour(x, y, z) {
  const wave = (a, b) => 0.5 + 0.5 * Math.sin(a * b);
  if (y < 0.42) {
    const plank = Math.floor(x / 0.22) * 7.31 + Math.floor(z / 1.4 + Math.floor(x / 0.22) * 0.37) * 3.7;
    const t = 0.75 + 0.25 * Math.abs(Math.sin(plank)) + 0.04 * wave(z, 90);
    return [168 * t, 124 * t, 84 * t];
  }
  if (Math.hypot(x - 3.0, y - 1.27, z - 3.0) < 0.24) return [206, 74, 58];
  if (Math.hypot(x - 3.65, y - 1.2, z - 3.25) < 0.17) return [68, 132, 178];
  if (Math.hypot(x - 1.1, y - 2.0, z - 5.4) < 0.33) return [250, 226, 168];
  if (x > 5.95 && x < 7.35 && z > 2 && z < 4.45 && y < 1.45) return wave(z, 28) > 0.5 ? [74, 110, 112] : [84, 122, 122];
  if (x > 2.2 && x < 4.2 && z > 2.5 && z < 3.75 && y < 1.15) return [120, 82, 56];
  if (x > 3.9 && x < 5.9 && z < 0.86 && y < 2.4) {
    const book = Math.floor(x / 0.07);
    return z < 0.5 ? [92 + 90 * Math.abs(Math.sin(book * 1.7)), 80 + 60 * Math.abs(Math.sin(book * 2.9)),
      70 + 80 * Math.abs(Math.sin(book * 4.1))] : [196, 186, 168];
  }
  if (x < 0.5) return y > 1.2 && y < 2.4 && z > 2 && z < 4.6 ? [150 + 60 * wave(y, 2), 186, 214] : [198, 192, 178];
  if (y > 3.1) return [226, 224, 218];
  const stripe = 0.96 + 0.04 * wave(x + z, 20);
  return [186 * stripe, 196 * stripe, 190 * stripe];
}

/// Lattice point to room coordinates, and to the world that keyframes are in (y down).
const room_of = (i, j, k) => [i * voxel_m, j * voxel_m, k * voxel_m];
const index_of = (i, j, k) => (k * size[1] + j) * size[0] + i;

const corners = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]];
const tetrahedra = [[0, 5, 1, 6], [0, 1, 2, 6], [0, 2, 3, 6], [0, 3, 7, 6], [0, 7, 4, 6], [0, 4, 5, 6]];

export async function make_room() {
  const encoder_module = await draco3d.createEncoderModule({});
  const distance = new Float32Array(size[0] * size[1] * size[2]);
  const seen = new Uint8Array(distance.length);
  for (let k = 0; k < size[2]; k++) for (let j = 0; j < size[1]; j++)
    for (let i = 0; i < size[0]; i++) distance[index_of(i, j, k)] = room_distance(...room_of(i, j, k));

  /// Marks what a camera at `eye` looking along `ahead` (room coordinates) sees; returns the keys of regions that changed.
  function see(eye, ahead, reach_m = 3.4, cosine = 0.74) {
    const touched = new Set();
    const low = eye.map((v) => Math.max(0, Math.floor((v - reach_m) / voxel_m)));
    const high = eye.map((v, a) => Math.min(size[a] - 1, Math.ceil((v + reach_m) / voxel_m)));
    for (let k = low[2]; k <= high[2]; k++) for (let j = low[1]; j <= high[1]; j++) for (let i = low[0]; i <= high[0]; i++) {
      const at = index_of(i, j, k);
      if (Math.abs(distance[at]) > 2.5 * voxel_m) continue;
      const d = [i * voxel_m - eye[0], j * voxel_m - eye[1], k * voxel_m - eye[2]];
      const far = Math.hypot(...d);
      if (far > reach_m || d[0] * ahead[0] + d[1] * ahead[1] + d[2] * ahead[2] < cosine * far) continue;
      const r = [i, -j, -k].map((v) => Math.floor(v / region_voxels));
      if (!seen[at] || Math.random() < 0.02) touched.add(r.join());
      if (!seen[at]) for (let a = 0; a < 3; a++) {
        const back = [...r];
        back[a] -= 1;
        touched.add(back.join());
        back[a] += 2;
        touched.add(back.join());
      }
      seen[at] = 1;
    }
    return touched;
  }

  /// The surface of one region: positions in grid units, colours, triangles. Cells belong to the region of their lowest world
  /// corner.
  function surface(region) {
    const positions = [], colours = [], indices = [], known = new Map();
    const vertex = (a, b) => {
      const ka = index_of(...a), kb = index_of(...b);
      const [p, q, dp, dq] = ka < kb ? [a, b, distance[ka], distance[kb]] : [b, a, distance[kb], distance[ka]];
      const t = dp / (dp - dq);
      const at = p.map((v, i) => v + (q[i] - v) * t);
      const place = [Math.round(at[0] * grid_per_voxel), Math.round(-at[1] * grid_per_voxel),
        Math.round(-at[2] * grid_per_voxel)];
      const key = place.join(), found = known.get(key);
      if (found !== undefined) return found;
      const colour = room_colour(...room_of(...at));
      positions.push(...place);
      colours.push(...colour.map((c) => Math.max(0, Math.min(255, Math.round(c)))));
      known.set(key, positions.length / 3 - 1);
      return positions.length / 3 - 1;
    };
    const R = region_voxels;
    for (let z = region[2] * R; z < (region[2] + 1) * R; z++)
      for (let y = region[1] * R; y < (region[1] + 1) * R; y++) for (let x = region[0] * R; x < (region[0] + 1) * R; x++) {
      const i = x, j = -y - 1, k = -z - 1;
      if (i < 0 || j < 0 || k < 0 || i + 1 >= size[0] || j + 1 >= size[1] || k + 1 >= size[2]) continue;
      if (!corners.every((c) => seen[index_of(i + c[0], j + c[1], k + c[2])])) continue;
      const cell = corners.map((c) => [i + c[0], j + c[1], k + c[2]]);
      for (const tet of tetrahedra) {
        const inside = tet.filter((c) => distance[index_of(...cell[c])] < 0),
          outside = tet.filter((c) => distance[index_of(...cell[c])] >= 0);
        if (!inside.length || !outside.length) continue;
        const ring = inside.length === 2
          ? [[0, 0], [0, 1], [1, 1], [1, 0]].map(([a, b]) => vertex(cell[inside[a]], cell[outside[b]]))
          : inside.length === 1 ? outside.map((o) => vertex(cell[inside[0]], cell[o]))
            : inside.map((o) => vertex(cell[o], cell[outside[0]]));
        const middle = (list) => [0, 1, 2].map((a) => list.reduce((s, c) => s + cell[c][a], 0) / list.length);
        const m = middle(inside), o = middle(outside), toward = [o[0] - m[0], -(o[1] - m[1]), -(o[2] - m[2])];
        for (let t = 1; t + 1 < ring.length; t++) {
          const [a, b, c] = [ring[0], ring[t], ring[t + 1]];
          if (a === b || b === c || a === c) continue;
          const P = (v, n) => positions[3 * v + n];
          const u = [0, 1, 2].map((n) => P(b, n) - P(a, n)), w = [0, 1, 2].map((n) => P(c, n) - P(a, n));
          const side = (u[1] * w[2] - u[2] * w[1]) * toward[0] + (u[2] * w[0] - u[0] * w[2]) * toward[1]
            + (u[0] * w[1] - u[1] * w[0]) * toward[2];
          if (u[1] * w[2] === u[2] * w[1] && u[2] * w[0] === u[0] * w[2] && u[0] * w[1] === u[1] * w[0]) continue;
          if (side >= 0) indices.push(a, b, c);
          else indices.push(a, c, b);
        }
      }
    }
    return { positions: Int32Array.from(positions), colours: Uint8Array.from(colours), indices: Uint32Array.from(indices) };
  }

  /// Draco bytes of a surface, positions as plain integers.
  function encode(s) {
    const m = encoder_module, builder = new m.MeshBuilder(), mesh = new m.Mesh(), encoder = new m.Encoder();
    builder.AddFacesToMesh(mesh, s.indices.length / 3, s.indices);
    builder.AddInt32Attribute(mesh, m.POSITION, s.positions.length / 3, 3, s.positions);
    builder.AddUInt8Attribute(mesh, m.COLOR, s.colours.length / 3, 3, s.colours);
    encoder.SetSpeedOptions(6, 6);
    encoder.SetEncodingMethod(m.MESH_EDGEBREAKER_ENCODING);
    const bytes = new m.DracoInt8Array();
    const length = encoder.EncodeMeshToDracoBuffer(mesh, bytes);
    const out = Buffer.alloc(length);
    for (let i = 0; i < length; i++) out[i] = bytes.GetValue(i);
    for (const thing of [bytes, mesh, encoder, builder]) m.destroy(thing);
    return out;
  }

  /// The camera of step n: walks an oval, looks outwards and a little down. World pose is camera-to-world, row-major.
  function camera(n) {
    const t = n / 90;
    const eye = [3.9 + 1.9 * Math.cos(t), 1.65 + 0.12 * Math.sin(3 * t), 3.3 + 1.4 * Math.sin(t)];
    const turn = 1.35 * t + 0.6 * Math.sin(0.7 * t), tilt = -0.32 + 0.34 * Math.sin(0.61 * t);
    const ahead = [Math.cos(tilt) * Math.cos(turn), Math.sin(tilt), Math.cos(tilt) * Math.sin(turn)];
    const flip = (v) => [v[0], -v[1], -v[2]];
    const f = flip(ahead), cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
    const down = [0, 1, 0];
    const r = cross(down, f), length = Math.hypot(...r), right = r.map((v) => v / length), y = cross(f, right), p = flip(eye);
    return { eye, ahead, pose: [right[0], y[0], f[0], p[0], right[1], y[1], f[1], p[1], right[2], y[2], f[2], p[2], 0, 0, 0, 1] };
  }

  return { see, surface, encode, camera, forget: () => seen.fill(0), voxel_m, region_voxels,
    quantum_m: voxel_m / grid_per_voxel };
}
