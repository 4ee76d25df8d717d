// Makes a mesh of joined regions one that strict readers take: every edge with at most two triangles that agree which way is out,
// every vertex with one fan. Patches have no triangle without area and no edge without length, and joining makes none.

/// Key of an edge in a direction; vertices are fewer than 2^26.
const edge_key = (from: number, to: number): number => from * 67108864 + to;

/// Half edges by their two vertices: which triangle has each, and whether more than one does.
class edge_table {
  private mask_: number;
  private slots_: Int32Array;

  constructor(private readonly corners_: Uint32Array) {
    let size = 16;
    while (size < 2 * corners_.length) size *= 2;
    this.mask_ = size - 1;
    this.slots_ = new Int32Array(size).fill(-1);
  }

  /// Puts in the edge that starts at a corner; false if one between the same vertices, in the same direction, is there.
  put(corner: number): boolean {
    const i = this.slot_(this.from_(corner), this.to_(corner));
    if (this.slots_[i] >= 0) return false;
    this.slots_[i] = corner;
    return true;
  }

  /// The corner where the edge from one vertex to another starts, or -1.
  find(from: number, to: number): number {
    return this.slots_[this.slot_(from, to)];
  }

  private from_(corner: number): number {
    return this.corners_[corner];
  }
  private to_(corner: number): number {
    return this.corners_[corner % 3 === 2 ? corner - 2 : corner + 1];
  }

  private slot_(from: number, to: number): number {
    let h = Math.imul(from, 0x9e3779b1) ^ Math.imul(to, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
    for (let i = (h ^ (h >>> 13)) & this.mask_; ; i = (i + 1) & this.mask_) {
      const corner = this.slots_[i];
      if (corner < 0 || (this.from_(corner) === from && this.to_(corner) === to)) return i;
    }
  }
}

export interface mended {
  indices: Uint32Array<ArrayBuffer>;
  /// For each vertex of the result, the one that it is a copy of.
  from: Uint32Array<ArrayBuffer>;
}

/// Gives every fan of triangles a vertex of its own, and triangles that share an edge with too many others vertices of their own.
function split_fans(indices: Uint32Array): { corners: Int32Array; crowded: number[] } {
  const edges = new edge_table(indices), doubled = new Set<number>();
  const next = (c: number): number => (c % 3 === 2 ? c - 2 : c + 1);
  for (let c = 0; c < indices.length; c++)
    if (!edges.put(c)) {
      doubled.add(edge_key(indices[c], indices[next(c)]));
    }
  const root = Int32Array.from({ length: indices.length }, (_, c) => c);
  const find = (c: number): number => {
    while (root[c] !== c) c = root[c] = root[root[c]];
    return c;
  };
  const join = (a: number, b: number): void => {
    const x = find(a), y = find(b);
    if (x !== y) root[Math.max(x, y)] = Math.min(x, y);
  };
  for (let c = 0; c < indices.length; c++) {
    const a = indices[c], b = indices[next(c)];
    if (a > b) continue;
    const other = edges.find(b, a);
    if (other < 0 || doubled.has(edge_key(a, b)) || doubled.has(edge_key(b, a))) continue;
    join(c, next(other));
    join(next(c), other);
  }
  for (let c = 0; c < indices.length; c++) root[c] = find(c);
  const crowded: number[] = [], seen = new Set<number>();
  for (let c = 0; c < indices.length && doubled.size; c++) {
    if (!doubled.has(edge_key(indices[c], indices[next(c)]))) continue;
    const key = edge_key(root[c], root[next(c)]);
    if (seen.has(key)) crowded.push(c - (c % 3));
    seen.add(key);
  }
  return { corners: root, crowded };
}

/// Gives every fan of triangles a vertex of its own, in a mesh of `vertices` vertices.
export function mend(triangles: ArrayLike<number>, vertices: number): mended {
  // Edges that are crowded even so: one triangle stays, the others stand alone.
  const joined = Uint32Array.from(triangles);
  let split = split_fans(joined);
  for (let fresh = vertices; split.crowded.length; split = split_fans(joined))
    for (const t of new Set(split.crowded)) for (let k = 0; k < 3; k++) joined[t + k] = fresh++;
  const corners = split.corners;
  const name = new Int32Array(triangles.length).fill(-1), from: number[] = [];
  const out = new Uint32Array(triangles.length);
  for (let c = 0; c < triangles.length; c++) {
    const r = corners[c];
    if (name[r] < 0) name[r] = from.push(triangles[c]) - 1;
    out[c] = name[r];
  }
  return { indices: out, from: Uint32Array.from(from) };
}
