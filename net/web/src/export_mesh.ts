// One mesh out of all regions: vertices that regions share at their borders become one, so that the file has no seams.

import { decode_octahedral, place_hash, type shaped_mesh } from "./shaping";

/// A whole map in metres and world coordinates; colours are sRGB bytes, normals unit vectors.
export interface whole_mesh {
  positions: Float32Array<ArrayBuffer>;
  normals: Float32Array<ArrayBuffer>;
  colours: Uint8Array<ArrayBuffer>;
  indices: Uint32Array<ArrayBuffer>;
}

/// What a file says of the map that it holds.
export interface mesh_facts {
  generator: string;
  epoch: string;
  voxel_m: number;
}

/// Joins regions. `quantum_m` turns their integer positions to metres.
export function join_regions(regions: Iterable<shaped_mesh>, quantum_m: number): whole_mesh {
  const list = [...regions];
  const most = list.reduce((n, r) => n + r.positions.length / 3, 0);
  const positions = new Float32Array(3 * most);
  const normals = new Float32Array(3 * most);
  const colours = new Uint8Array(3 * most);
  const indices = new Uint32Array(list.reduce((n, r) => n + r.indices.length, 0));
  const shared = new Map<number, number>();
  let vertices = 0, written = 0;
  for (const r of list) {
    const here = r.positions.length / 3;
    const to = new Uint32Array(here);
    for (let v = 0; v < here; v++) {
      if (v < r.border) {
        const place = place_hash(r.positions[3 * v], r.positions[3 * v + 1], r.positions[3 * v + 2]);
        const known = shared.get(place);
        if (known !== undefined) {
          to[v] = known;
          continue;
        }
        shared.set(place, vertices);
      }
      for (let i = 0; i < 3; i++) positions[3 * vertices + i] = r.positions[3 * v + i] * quantum_m;
      normals.set(decode_octahedral(r.normals, 2 * v), 3 * vertices);
      for (let i = 0; i < 3; i++) colours[3 * vertices + i] = r.colours[4 * v + i];
      to[v] = vertices++;
    }
    for (const i of r.indices) indices[written++] = to[i];
  }
  return { positions: positions.slice(0, 3 * vertices), normals: normals.slice(0, 3 * vertices), colours: colours.slice(0, 3 * vertices), indices };
}
