// Codec 2: a region's surface as the cells that it runs through (docs/cells.md), and its mesh, which marching cubes makes here as
// the service made it: the same vertices and triangles in the same order.

import { case_triangles, cells_reader, type coded_cells } from "./cells_reader";
import { triangle_edges } from "./marching_cubes";
import { type region, region_text } from "./protocol";
import { cells_error } from "./range_decoder";
import { vertices_reader } from "./vertices_reader";
import type { decoded_mesh } from "./shaping";

/// Steps of the position grid in a voxel, and of a colour channel's step in its byte.
export const steps_per_voxel = 32, colour_step = 5;

/// The largest region that there can be, and how far from the origin the map reaches, in voxels.
const most_region_voxels = 256, most_voxels = 1 << 19;
/// A partial payload begins with the version that it builds on; then it says how long its code is, as each does.
const base_bytes = 8, length_bytes = 4;

/// Edges that begin in a block: three of each of its voxels.
const block_edges = 1536;
/// 32-bit words that hold a bit for each.
const block_words = block_edges / 32;

/// What a region's surface is made of, block by block: cells with their cases, and vertices. Blocks are named by slots,
/// x fastest, region_voxels / 8 + 1 on an axis, since vertices may lie in the blocks after the region's. Never
/// changed once it is made.
export interface region_records {
  readonly region: region;
  readonly version: bigint;
  readonly region_voxels: number;
  readonly triangles: number;
  /// Of the blocks that have a record, ascending.
  readonly slots: Uint16Array;
  /// For each block, its first cell, and one past the last at the end.
  readonly first_cell: Uint32Array;
  /// A cell's lowest corner, as a voxel of its block; ascending in a block.
  readonly cells: Uint16Array;
  /// Which of its corners are inside.
  readonly cases: Uint8Array;
  /// For each block, its first vertex, and one past the last at the end.
  readonly first_vertex: Uint32Array;
  /// 3 * voxel of the block + axis; ascending in a block.
  readonly edges: Uint16Array;
  /// Steps from the edge's beginning, 1 to 31.
  readonly fractions: Uint8Array;
  /// Steps of red, green, blue: 0 to 51.
  readonly colours: Uint8Array;
}

/// Where an edge of the 9^3 voxels from a block's first on stands, by 3 * (81 z + 9 y + x) + axis: its number in the block that
/// has it, and above `owner_shift` which block that is, of the eight (+x, +y, +z).
const owner_shift = 11, edge_mask = (1 << owner_shift) - 1;
const edge_owners = new Uint16Array(3 * 729);
for (let z = 0; z < 9; z++)
  for (let y = 0; y < 9; y++)
    for (let x = 0; x < 9; x++)
      for (let axis = 0; axis < 3; axis++)
        edge_owners[3 * (81 * z + 9 * y + x) + axis] = (((x >> 3) | ((y >> 3) << 1) | ((z >> 3) << 2)) << owner_shift)
          | (3 * (((z & 7) << 6) | ((y & 7) << 3) | (x & 7)) + axis);

/// For a voxel of a block, where its edges begin in edge_owners.
const cell_place = Uint16Array.from({ length: 512 }, (_, v) => 3 * (81 * (v >> 6) + 9 * ((v >> 3) & 7) + (v & 7)));

/// The edges of a cell from there on, by their names in the marching cubes table.
const edge_place = Uint16Array.from({ length: 24 }, (_, e) => {
  const corner = Math.floor(e / 3);
  return 3 * (81 * (corner >> 2) + 9 * ((corner >> 1) & 1) + (corner & 1)) + (e % 3);
});

/// For each case: its number of edges that cross the surface; those, 12 apart, as places, and as they are numbered from three
/// times the cell on, where they are all of one block.
const case_crossings = new Uint8Array(256);
const crossing_places = new Uint16Array(256 * 12), crossing_names = new Uint16Array(256 * 12);
triangle_edges.forEach((edges, inside) => {
  const crossings = [...new Set(edges)].sort((a, b) => a - b);
  case_crossings[inside] = crossings.length;
  crossings.forEach((e, i) => {
    crossing_places[12 * inside + i] = edge_place[e];
    crossing_names[12 * inside + i] = edge_owners[edge_place[e]];
  });
});

/// Steps from a slot to the eight blocks in which edges of its cells stand.
const steps_to_owners = (edge: number): Int32Array =>
  Int32Array.from({ length: 8 }, (_, n) => (n & 1) + ((n >> 1) & 1) * edge + (n >> 2) * edge * edge);

/// Where the numbers of vertices lie while triangles are made: three for each voxel of a layer of blocks and the voxels after it.
interface number_grid {
  region_voxels: number;
  row: number;
  layer: number;
  numbers: Uint32Array;
  /// For a block's first voxel, from there to each of its edges; for a cell, to the corners of each case's triangles, 15 apart.
  edge_steps: Int32Array;
  corner_steps: Int32Array;
}

function make_grid(region_voxels: number): number_grid {
  const row = 3 * (region_voxels + 1), layer = row * (region_voxels + 1), corner_steps = new Int32Array(256 * 15);
  const step = (x: number, y: number, z: number, axis: number): number => 3 * x + row * y + layer * z + axis;
  triangle_edges.forEach((edges, inside) => edges.forEach((e, i) => {
    const corner = Math.floor(e / 3);
    corner_steps[15 * inside + i] = step(corner & 1, (corner >> 1) & 1, corner >> 2, e % 3);
  }));
  const edge_steps = Int32Array.from({ length: block_edges }, (_, e) => {
    const place = Math.floor(e / 3);
    return step(place & 7, (place >> 3) & 7, place >> 6, e % 3);
  });
  return { region_voxels, row, layer, numbers: new Uint32Array(9 * layer), edge_steps, corner_steps };
}

/// Used again from one region to the next.
let grid_: number_grid | undefined;

/// The triangles of a region. Colours are four bytes each, the last one 255.
export function mesh_of(records: region_records): decoded_mesh {
  return { positions: positions_of(records), colours: colours_of(records), indices: indices_of(records) };
}

function positions_of(r: region_records): Int32Array {
  const out = new Int32Array(3 * r.edges.length), edge = r.region_voxels / 8 + 1;
  const origin = r.region.map((c) => c * r.region_voxels);
  for (let block = 0, to = 0; block < r.slots.length; block++) {
    const slot = r.slots[block], layer = Math.floor(slot / edge);
    const x = steps_per_voxel * (origin[0] + 8 * (slot % edge)), y = steps_per_voxel * (origin[1] + 8 * (layer % edge)),
      z = steps_per_voxel * (origin[2] + 8 * Math.floor(layer / edge));
    for (let v = r.first_vertex[block]; v < r.first_vertex[block + 1]; v++, to += 3) {
      const name = r.edges[v], voxel = (name / 3) | 0;
      out[to] = x + steps_per_voxel * (voxel & 7);
      out[to + 1] = y + steps_per_voxel * ((voxel >> 3) & 7);
      out[to + 2] = z + steps_per_voxel * (voxel >> 6);
      out[to + name - 3 * voxel] += r.fractions[v];
    }
  }
  return out;
}

function colours_of(r: region_records): Uint8Array {
  const vertices = r.edges.length, out = new Uint8Array(4 * vertices);
  for (let v = 0, from = 0, to = 0; v < vertices; v++, from += 3, to += 4) {
    out[to] = colour_step * r.colours[from];
    out[to + 1] = colour_step * r.colours[from + 1];
    out[to + 2] = colour_step * r.colours[from + 2];
    out[to + 3] = 255;
  }
  return out;
}

/// Layer of blocks by layer: the cells of one have vertices there, and on the first voxels of the next.
function indices_of(r: region_records): Uint32Array {
  const grid = grid_?.region_voxels === r.region_voxels ? grid_ : (grid_ = make_grid(r.region_voxels));
  const { row, layer, numbers, edge_steps, corner_steps } = grid, { slots, first_vertex, first_cell, cells, cases, edges } = r;
  const edge = r.region_voxels / 8 + 1, blocks = slots.length, out = new Uint32Array(3 * r.triangles);
  const base_of_block = (slot: number): number => 24 * (slot % edge) + 8 * row * (Math.floor(slot / edge) % edge);
  for (let begin = 0, end = 0, to = 0; begin < blocks; begin = end) {
    const beyond = (Math.floor(slots[begin] / (edge * edge)) + 1) * edge * edge;
    for (end = begin; end < blocks && slots[end] < beyond; end++) {
      const base = base_of_block(slots[end]), last = first_vertex[end + 1];
      for (let v = first_vertex[end]; v < last; v++) numbers[base + edge_steps[edges[v]]] = v;
    }
    for (let next = end; next < blocks && slots[next] < beyond + edge * edge; next++) {
      const base = base_of_block(slots[next]) + 8 * layer, last = first_vertex[next + 1];
      for (let v = first_vertex[next]; v < last && edges[v] < 192; v++) numbers[base + edge_steps[edges[v]]] = v;
    }
    for (let block = begin; block < end; block++) {
      const base = base_of_block(slots[block]), last_cell = first_cell[block + 1];
      for (let c = first_cell[block]; c < last_cell; c++) {
        const voxel = base + edge_steps[3 * cells[c]], first = 15 * cases[c], last = first + 3 * case_triangles[cases[c]];
        for (let i = first; i < last; i++) out[to++] = numbers[voxel + corner_steps[i]];
      }
    }
  }
  return out;
}

/// The cells of a region, block by block; blocks that the patch emptied are among them.
type region_cells = Pick<region_records, "slots" | "first_cell" | "cells" | "cases" | "triangles">;

/// Cells of the blocks that a patch touches, as it says, and those of the others, as they are held.
function merged_cells(touched: Uint16Array, coded: coded_cells, held: region_records | undefined): region_cells {
  const slots = new Uint16Array(touched.length + (held?.slots.length ?? 0)), first_cell = new Uint32Array(slots.length + 1);
  const cells = new Uint16Array(coded.cells.length + (held?.cells.length ?? 0)), cases = new Uint8Array(cells.length);
  let blocks = 0, length = 0;
  const take = (slot: number, of: Pick<region_records, "cells" | "cases">, begin: number, end: number): void => {
    slots[blocks++] = slot;
    cells.set(of.cells.subarray(begin, end), length);
    cases.set(of.cases.subarray(begin, end), length);
    length += end - begin;
    first_cell[blocks] = length;
  };
  if (held === undefined) {
    slots.set(touched);
    first_cell.set(coded.first);
    cells.set(coded.cells);
    cases.set(coded.cases);
    [blocks, length] = [touched.length, cells.length];
  } else for (let rank = 0, from = 0; rank < touched.length || from < held.slots.length; ) {
    const slot = rank < touched.length ? touched[rank] : Infinity;
    const theirs = from < held.slots.length ? held.slots[from] : Infinity;
    if (slot <= theirs) take(slot, coded, coded.first[rank], coded.first[rank + 1]);
    else take(theirs, held, held.first_cell[from], held.first_cell[from + 1]);
    if (slot <= theirs) rank++;
    if (theirs <= slot) from++;
  }
  let triangles = 0;
  for (let c = 0; c < length; c++) triangles += case_triangles[cases[c]];
  return { slots: slots.slice(0, blocks), first_cell: first_cell.slice(0, blocks + 1), cells: cells.slice(0, length),
    cases: cases.slice(0, length), triangles };
}

/// For each block, a bit for each of its edges that a cell uses: block_words words.
function marks_of(edge: number, r: region_cells): Int32Array {
  const { slots, first_cell, cells, cases } = r, blocks = slots.length;
  // Edges of blocks that are not listed are marked behind the last block's.
  const listed = new Int32Array(edge ** 3 + edge * edge + edge + 1).fill(blocks * block_words);
  for (let block = 0; block < blocks; block++) listed[slots[block]] = block * block_words;
  const marks = new Int32Array((blocks + 1) * block_words), bases = new Int32Array(8), steps = steps_to_owners(edge);
  for (let block = 0; block < blocks; block++) {
    for (let n = 0; n < 8; n++) bases[n] = listed[slots[block] + steps[n]];
    const end = first_cell[block + 1];
    for (let c = first_cell[block]; c < end; c++) {
      const cell = cells[c], first = 12 * cases[c], last = first + case_crossings[cases[c]];
      if ((cell & 7) !== 7 && (cell & 56) !== 56 && cell < 448) {
        for (let i = first; i < last; i++) {
          const name = 3 * cell + crossing_names[i];
          marks[bases[0] + (name >> 5)] |= 1 << (name & 31);
        }
      } else for (let i = first, place = cell_place[cell]; i < last; i++) {
        const owner = edge_owners[place + crossing_places[i]], name = owner & edge_mask;
        marks[bases[owner >> owner_shift] + (name >> 5)] |= 1 << (name & 31);
      }
    }
  }
  for (let i = blocks * block_words; i < marks.length; i++)
    if (marks[i] !== 0) throw new cells_error("a cell has vertices in a block that the patch does not name and that is not held");
  return marks;
}

/// The marked edges, in order, and where each block's begin. Throws unless there are as many as is said.
function marked_edges(marks: Int32Array, blocks: number, vertices: number): { edges: Uint16Array; first_vertex: Uint32Array } {
  const edges = new Uint16Array(vertices), first_vertex = new Uint32Array(blocks + 1);
  let count = 0;
  for (let block = 0, at = 0; block < blocks; block++) {
    for (let name = 0; name < block_edges; name += 32, at++)
      for (let left = marks[at]; left !== 0; left &= left - 1) edges[count++] = name + 31 - Math.clz32(left & -left);
    first_vertex[block + 1] = count;
  }
  if (count !== vertices) throw new cells_error(`its cells have ${count} vertices, and the header says ${vertices}`);
  return { edges, first_vertex };
}

/// What the patch's header and the map say of a payload.
export interface cells_header {
  readonly region: region;
  readonly version: bigint;
  readonly vertices: number;
  readonly triangles: number;
  readonly partial: boolean;
  readonly region_voxels: number;
}

function check_header(h: cells_header): void {
  const size = h.region_voxels, cells = size ** 3;
  if (!(size >= 8 && size <= most_region_voxels && size % 8 === 0))
    throw new cells_error(`regions of ${size} voxels; they have 8 to ${most_region_voxels}, by eights`);
  if (h.triangles < 1 || h.triangles > 5 * cells)
    throw new cells_error(`the header says ${h.triangles} triangles; a region has 1 to ${5 * cells}`);
  if (h.vertices < 3 || h.vertices > 3 * h.triangles)
    throw new cells_error(`the header says ${h.vertices} vertices; ${h.triangles} triangles have 3 to ${3 * h.triangles}`);
  for (const c of h.region)
    if (!(Math.abs(c) * size <= most_voxels)) throw new cells_error(`region ${h.region.join()} is beyond the map`);
}

/// What a partial patch builds on, and where its stream begins.
function base_of(payload: Uint8Array, h: cells_header, held: region_records | undefined): region_records {
  if (payload.length < base_bytes)
    throw new cells_error(`a partial payload of ${payload.length} bytes, its base alone takes ${base_bytes}`);
  const base = new DataView(payload.buffer, payload.byteOffset, base_bytes).getBigUint64(0, true);
  if (held === undefined) throw new cells_error(`it builds on version ${base}, and none is held`, true);
  if (held.version !== base) throw new cells_error(`it builds on version ${base}, and ${held.version} is held`, true);
  if (held.region_voxels !== h.region_voxels || region_text(held.region) !== region_text(h.region))
    throw new cells_error(`it builds on a version of another region`, true);
  return held;
}

function halves_of(payload: Uint8Array): { code: Uint8Array; bits: Uint8Array } {
  const there = payload.length - length_bytes;
  const length = there < 0 ? 0 : new DataView(payload.buffer, payload.byteOffset, length_bytes).getUint32(0, true);
  if (there < length) throw new cells_error(`a code of ${length} bytes does not fit into ${payload.length}`);
  return { code: payload.subarray(length_bytes, length_bytes + length), bits: payload.subarray(length_bytes + length) };
}

/// Reads a payload: the records of the whole region, be the patch whole or partial. `held` is what is held of the region, and
/// stays as it is. Throws cells_error.
export function apply(payload: Uint8Array, header: cells_header, held?: region_records): region_records {
  check_header(header);
  const base = header.partial ? base_of(payload, header, held) : undefined;
  const { code, bits } = halves_of(base ? payload.subarray(base_bytes) : payload);
  const reader = new cells_reader(code, header.region_voxels), touched = reader.touched();
  const region = merged_cells(touched, reader.cells(header.triangles), base), { slots } = region;
  if (region.triangles !== header.triangles)
    throw new cells_error(`its cells have ${region.triangles} triangles, and the header says ${header.triangles}`);
  const marks = marks_of(header.region_voxels / 8 + 1, region);
  const { edges, first_vertex } = marked_edges(marks, slots.length, header.vertices);
  const vertices_of = new vertices_reader(bits);
  const vertices = { edges, fractions: new Uint8Array(edges.length), colours: new Uint8Array(3 * edges.length) };
  for (let block = 0, rank = 0, from = 0; block < slots.length; block++) {
    const slot = slots[block], begin = first_vertex[block], end = first_vertex[block + 1];
    if (rank < touched.length && touched[rank] === slot) {
      vertices_of.block(slot, vertices, begin, end);
      rank++;
    } else if (base) {
      while (base.slots[from] !== slot) from++;
      keep_vertices(base, from, vertices, begin, end);
    }
  }
  vertices_of.end();
  const { region: at, version, region_voxels } = header;
  return { region: at, version, region_voxels, triangles: region.triangles, cells: region.cells, cases: region.cases,
    ...vertices, ...without_empty_blocks(slots, region.first_cell, first_vertex) };
}

/// Takes the vertices of a block that the patch does not touch from what is held.
function keep_vertices(held: region_records, block: number, to: Pick<region_records, "edges" | "fractions" | "colours">,
  begin: number, end: number): void {
  const first = held.first_vertex[block], last = held.first_vertex[block + 1];
  let same = last - first === end - begin;
  for (let v = begin; same && v < end; v++) same = to.edges[v] === held.edges[first + v - begin];
  if (!same)
    throw new cells_error(`the patch changes which edges are crossed in block ${held.slots[block]}, but does not touch it`);
  to.fractions.set(held.fractions.subarray(first, last), begin);
  to.colours.set(held.colours.subarray(3 * first, 3 * last), 3 * begin);
}

function without_empty_blocks(slots: Uint16Array, first_cell: Uint32Array, first_vertex: Uint32Array):
  Pick<region_records, "slots" | "first_cell" | "first_vertex"> {
  const left = [...slots.keys()].filter((b) => first_cell[b] !== first_cell[b + 1] || first_vertex[b] !== first_vertex[b + 1]);
  if (left.length === slots.length) return { slots, first_cell, first_vertex };
  const ends = (first: Uint32Array): Uint32Array => Uint32Array.from([0, ...left.map((b) => first[b + 1])]);
  return { slots: Uint16Array.from(left, (b) => slots[b]), first_cell: ends(first_cell), first_vertex: ends(first_vertex) };
}
