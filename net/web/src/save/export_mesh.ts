// One mesh out of all regions: vertices that regions share at their borders become one, so that the file has no seams.

import { mend } from "./mending";
import { decode_octahedral, place_hash, type shaped_mesh } from "../stream/shaping";

/// A whole map in metres and the map's own axes; colours are sRGB bytes, normals unit vectors.
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

/// The places at which exactly one of a region's border vertices lies. Where two of one region lie, quantising put them there:
/// which of them the neighbour's belongs to is not known, and joining all would tie edges to more than two triangles.
function single_places(r: shaped_mesh): Map<number, number> {
  const at = new Map<number, number>();
  for (let v = 0; v < r.border; v++) {
    const place = place_hash(r.positions[3 * v], r.positions[3 * v + 1], r.positions[3 * v + 2]);
    at.set(place, at.has(place) ? -1 : v);
  }
  return at;
}

/// Joins regions. `quantum_m` turns their integer positions to metres.
export function join_regions(regions: Iterable<shaped_mesh>, quantum_m: number): whole_mesh {
  const list = [...regions];
  const triangles = new Uint32Array(list.reduce((n, r) => n + r.indices.length, 0));
  // Vertices before mending: which region's, and which of its vertices.
  const most = list.reduce((n, r) => n + r.positions.length / 3, 0);
  const owner = new Uint32Array(most), local = new Uint32Array(most);
  const shared = new Map<number, number>();
  let vertices = 0, written = 0;
  list.forEach((r, index) => {
    const here = r.positions.length / 3;
    const to = new Int32Array(here).fill(-1);
    const join = (v: number, place: number): void => {
      const known = shared.get(place);
      if (known !== undefined) to[v] = known;
      else shared.set(place, vertices);
    };
    for (const [place, v] of single_places(r)) {
      if (v < 0) continue;
      join(v, place);
      if (to[v] < 0) to[v] = add(index, v);
    }
    for (let v = 0; v < here; v++) if (to[v] < 0) to[v] = add(index, v);
    for (let i = 0; i < r.indices.length; i++) triangles[written++] = to[r.indices[i]];
  });
  function add(index: number, v: number): number {
    owner[vertices] = index;
    local[vertices] = v;
    return vertices++;
  }
  const { indices, from } = mend(triangles, vertices);
  const positions = new Float32Array(3 * from.length), normals = new Float32Array(3 * from.length),
    colours = new Uint8Array(3 * from.length);
  from.forEach((v, i) => {
    const r = list[owner[v]], at = local[v];
    for (let k = 0; k < 3; k++) positions[3 * i + k] = r.positions[3 * at + k] * quantum_m;
    normals.set(decode_octahedral(r.normals, 2 * at), 3 * i);
    for (let k = 0; k < 3; k++) colours[3 * i + k] = r.colours[4 * at + k];
  });
  return { positions, normals, colours, indices };
}
