// Makes a triangle mesh one that strict readers take: no triangle without area, every edge with at most two triangles that agree
// which way is out, every vertex with one fan. Positions are integers (of the quantisation grid), so what has no area is known exactly.
// Quantising is what makes such meshes: vertices that were apart fall on one place.

/// Key of an edge in a direction; vertices are fewer than 2^26.
const edge_key = (from: number, to: number): number => from * 67108864 + to;

type positions = ArrayLike<number>;

const same_place = (p: positions, a: number, b: number): boolean => p[3 * a] === p[3 * b] && p[3 * a + 1] === p[3 * b + 1] && p[3 * a + 2] === p[3 * b + 2];

/// Square of a distance, exact: coordinates inside one triangle are near each other.
function apart(p: positions, a: number, b: number): number {
  const x = p[3 * a] - p[3 * b], y = p[3 * a + 1] - p[3 * b + 1], z = p[3 * a + 2] - p[3 * b + 2];
  return x * x + y * y + z * z;
}

/// Its corners lie on one line, or are not three.
export function has_no_area(p: positions, a: number, b: number, c: number): boolean {
  if (a === b || b === c || c === a) return true;
  const ux = p[3 * b] - p[3 * a], uy = p[3 * b + 1] - p[3 * a + 1], uz = p[3 * b + 2] - p[3 * a + 2];
  const vx = p[3 * c] - p[3 * a], vy = p[3 * c + 1] - p[3 * a + 1], vz = p[3 * c + 2] - p[3 * a + 2];
  return uy * vz === uz * vy && uz * vx === ux * vz && ux * vy === uy * vx;
}

/// For each vertex, the vertex that it becomes when edges without length are collapsed, where that leaves the surface a surface: the
/// two ends have no neighbours in common but those across the edge, and are not two places of the rim that would be pinched together.
export function collapse_short_edges(p: positions, indices: ArrayLike<number>, vertices: number): Uint32Array | undefined {
  const short: [number, number][] = [], around = new Map<number, number[]>();
  for (let t = 0; t < indices.length; t += 3)
    for (let k = 0; k < 3; k++) {
      const a = indices[t + k], b = indices[t + ((k + 1) % 3)];
      if (a === b || !same_place(p, a, b)) continue;
      short.push([a, b]);
      around.set(a, []).set(b, []);
    }
  if (!short.length) return undefined;
  for (let t = 0; t < indices.length; t += 3) for (let k = 0; k < 3; k++) around.get(indices[t + k])?.push(t);
  const became = Uint32Array.from({ length: vertices }, (_, v) => v);
  const now = (v: number): number => {
    while (became[v] !== v) v = became[v];
    return v;
  };
  const gone = new Set<number>();
  /// How many triangles each neighbour of a vertex shares with it.
  const ring = (v: number): Map<number, number> => {
    const n = new Map<number, number>();
    for (const t of around.get(v)!) {
      if (gone.has(t)) continue;
      for (let k = 0; k < 3; k++) {
        const w = now(indices[t + k]);
        if (w !== v) n.set(w, (n.get(w) ?? 0) + 1);
      }
    }
    return n;
  };
  const on_rim = (n: Map<number, number>): boolean => [...n.values()].some((count) => count !== 2);
  for (const [x, y] of short) {
    const a = now(x), b = now(y);
    if (a === b) continue;
    const at_a = ring(a), at_b = ring(b), shared = at_a.get(b) ?? 0;
    const common = [...at_a.keys()].filter((w) => at_b.has(w)).length;
    if (shared === 0 || shared > 2 || common !== shared || (shared === 2 && on_rim(at_a) && on_rim(at_b))) continue;
    for (const t of around.get(b)!) if ([0, 1, 2].some((k) => now(indices[t + k]) === a)) gone.add(t);
    became[b] = a;
    around.get(a)!.push(...around.get(b)!);
  }
  for (let v = 0; v < vertices; v++) became[v] = now(v);
  return became;
}

/// Turns the long edge of flat triangles (three places on a line) over to the triangle beyond, so that both get an area and no slit is left.
function flip_flat(p: positions, indices: Uint32Array): boolean {
  // Of each flat triangle, the long edge as its neighbour runs along it.
  const wanted = new Map<number, number>(), across = new Map<number, number>(), used = new Set<number>();
  for (let t = 0; t < indices.length; t += 3) {
    const [a, b, c] = [indices[t], indices[t + 1], indices[t + 2]];
    if (a === b || b === c || c === a || !has_no_area(p, a, b, c)) continue;
    const sides = [apart(p, a, b), apart(p, b, c), apart(p, c, a)];
    if (sides.includes(0)) continue;
    const k = sides.indexOf(Math.max(...sides));
    wanted.set(edge_key(indices[t + ((k + 1) % 3)], indices[t + k]), t);
  }
  if (!wanted.size) return false;
  const middles = new Set<number>(), neighbours = new Map<number, Set<number>>();
  for (const [edge, t] of wanted) for (let k = 0; k < 3; k++) if (![Math.floor(edge / 67108864), edge % 67108864].includes(indices[t + k])) middles.add(indices[t + k]);
  for (let t = 0; t < indices.length; t += 3)
    for (let k = 0; k < 3; k++) {
      const a = indices[t + k], b = indices[t + ((k + 1) % 3)], c = indices[t + ((k + 2) % 3)];
      if (wanted.has(edge_key(a, b))) across.set(edge_key(a, b), t);
      if (middles.has(a)) neighbours.set(a, (neighbours.get(a) ?? new Set<number>()).add(b).add(c));
    }
  let flipped = false;
  for (const [edge, t] of wanted) {
    const n = across.get(edge);
    if (n === undefined || n === t || used.has(n) || used.has(t)) continue;
    const a = Math.floor(edge / 67108864), c = edge % 67108864;
    const third = (at: number): number => [0, 1, 2].map((k) => indices[at + k]).find((v) => v !== a && v !== c)!;
    const b = third(t), d = third(n);
    if (b === d || neighbours.get(b)?.has(d) || has_no_area(p, a, b, d) || has_no_area(p, b, c, d)) continue;
    indices.set([a, b, d], t);
    indices.set([b, c, d], n);
    neighbours.get(b)?.add(d);
    used.add(t).add(n);
    flipped = true;
  }
  return flipped;
}

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

/// Mends a mesh of `vertices` vertices: flat triangles are turned into ones with an area or left out, then fans are split.
export function mend(p: positions, triangles: ArrayLike<number>, vertices: number): mended {
  let indices: Uint32Array<ArrayBuffer> = Uint32Array.from(triangles);
  for (let round = 0; round < 3 && flip_flat(p, indices); round++);
  let kept = 0;
  for (let t = 0; t < indices.length; t += 3) {
    const [a, b, c] = [indices[t], indices[t + 1], indices[t + 2]];
    if (has_no_area(p, a, b, c)) continue;
    indices.set([a, b, c], kept);
    kept += 3;
  }
  indices = indices.slice(0, kept);
  // Edges that are crowded even so: one triangle stays, the others stand alone.
  const joined = Uint32Array.from(indices);
  let split = split_fans(joined);
  for (let fresh = vertices; split.crowded.length; split = split_fans(joined)) for (const t of new Set(split.crowded)) for (let k = 0; k < 3; k++) joined[t + k] = fresh++;
  const corners = split.corners;
  const name = new Int32Array(indices.length).fill(-1), from: number[] = [];
  const out = new Uint32Array(indices.length);
  for (let c = 0; c < indices.length; c++) {
    const r = corners[c];
    if (name[r] < 0) name[r] = from.push(indices[c]) - 1;
    out[c] = name[r];
  }
  return { indices: out, from: Uint32Array.from(from) };
}
