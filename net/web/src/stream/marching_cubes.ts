// The marching cubes table, derived as gpu/shared/marching_cubes.hpp does: the same triangles in the same order, so that a mesh
// made here is the service's own.

/// The corners of each face of a cell, counter-clockwise seen from outside.
const faces = [[0, 4, 6, 2], [1, 3, 7, 5], [0, 1, 5, 4], [2, 6, 7, 3], [0, 2, 3, 1], [4, 5, 7, 6]];

/// Corner c of a cell lies at (c & 1, c >> 1 & 1, c >> 2). An edge is named 3 * (its lower corner) + axis, 0 to 23.
const edge_between = (p: number, q: number): number => 3 * Math.min(p, q) + ((p ^ q) === 1 ? 0 : (p ^ q) === 2 ? 1 : 2);

function is_in_a_face(e: number, f: number): boolean {
  const low_e = Math.floor(e / 3), high_e = low_e | (1 << e % 3), low_f = Math.floor(f / 3), high_f = low_f | (1 << f % 3);
  return (low_e & high_e & low_f & high_f) !== 0 || (low_e | high_e | low_f | high_f) !== 7;
}

/// For a set of inside corners, the edge that follows each edge on the contours of the surface; -1 where there is none.
function contours(inside: number): Int8Array {
  const is_in = (corner: number): boolean => ((inside >> corner) & 1) !== 0;
  const next = new Int8Array(24).fill(-1);
  for (const face of faces)
    for (let i = 0; i < 4; i++) {
      if (!is_in(face[i]) || is_in(face[(i + 1) & 3])) continue;
      let begin = i; // of the run of inside corners that ends here
      while (is_in(face[(begin + 3) & 3])) begin = (begin + 3) & 3;
      next[edge_between(face[begin], face[(begin + 3) & 3])] = edge_between(face[i], face[(i + 1) & 3]);
    }
  return next;
}

/// The triangles of a case, three edges each, counter-clockwise seen from outside.
function triangles_of(inside: number): number[] {
  const next = contours(inside), out: number[] = [];
  for (let start = 0; start < 24; start++) {
    const loop: number[] = [];
    for (let at = start; next[at] >= 0; ) {
      loop.push(at);
      const to = next[at];
      next[at] = -1;
      at = to;
    }
    // A fan about the first vertex none of whose diagonals lies in a face; there is one for every loop.
    let apex = 0;
    for (let i = 2; i + 1 < loop.length; )
      if (is_in_a_face(loop[apex], loop[(apex + i) % loop.length])) {
        apex++;
        i = 2;
      } else i++;
    for (let i = 1; i + 1 < loop.length; i++)
      out.push(loop[apex], loop[(apex + i) % loop.length], loop[(apex + i + 1) % loop.length]);
  }
  return out;
}

/// For each set of inside corners (bit c: corner c is inside), its triangles' edges: 15 at most.
export const triangle_edges: readonly (readonly number[])[] = Array.from({ length: 256 }, (_, inside) => triangles_of(inside));
