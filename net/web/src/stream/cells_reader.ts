// The first half of docs/cells.md: which decisions tell a region's cells, in which order and in which contexts.

import { triangle_edges } from "./marching_cubes";
import { cells_error, even_chance, range_decoder } from "./range_decoder";

/// For each case, its number of triangles.
export const case_triangles = Uint8Array.from(triangle_edges, (edges) => edges.length / 3);

/// The corners on each face of a cell: before and after it along x, y, z.
const face_corners = [0x55, 0xaa, 0x33, 0xcc, 0x0f, 0xf0];
/// For each case, the faces that the surface crosses, a bit each.
const crossed_faces = Uint8Array.from({ length: 256 }, (_, inside) => face_corners.reduce((faces, corners, f) => {
  const those = inside & corners;
  return those !== 0 && those !== corners ? faces | (1 << f) : faces;
}, 0));

// Where the contexts of each kind begin.
const touched_at = 0, active_at = 8, more_at = 24, corners_at = 28, contexts_end = 55;

// What is known of a voxel: its side, and of the cell whose lowest corner it is.
const outside = 1, side = 3, queued = 4, no_triangles = 8, triangles = 128, decided = no_triangles | triangles;

/// Cells of the blocks that a patch touches, block by block; those of block i from first[i] to first[i + 1]. Lasts until the next
/// payload is read.
export interface coded_cells {
  first: Uint32Array;
  cells: Uint16Array;
  cases: Uint8Array;
}

// Memory that is used again from one patch to the next; it grows to what the largest needs.
let voxels_ = new Uint8Array(0), queues_ = new Uint16Array(0);
let cells_ = new Uint16Array(1 << 12), cases_ = new Uint8Array(1 << 12);
const block_cases = new Uint8Array(512), block_found = new Uint32Array(16);

/// Reads the code of one payload: touched(), and then cells().
export class cells_reader {
  private readonly contexts_ = new Uint16Array(contexts_end).fill(even_chance);
  private readonly coder_: range_decoder;
  /// Blocks of cells on an axis, and slots: one more.
  private readonly blocks_: number;
  private readonly edge_: number;
  /// Voxels in a row and in a layer: one more than the region's corners on each side, so that every neighbour is there.
  private readonly row_: number;
  private readonly layer_: number;
  /// From a block's first voxel to each of its voxels, and from a cell's lowest corner to each of its corners.
  private readonly place_steps_: Int32Array;
  private readonly corner_steps_: Int32Array;
  /// Of each slot, among the touched blocks; -1: not touched.
  private readonly rank_of_: Int32Array;
  private slots_ = new Uint16Array(0);
  private queued_ = new Uint16Array(0);
  private triangles_left_ = 0;

  constructor(code: Uint8Array, region_voxels: number) {
    this.coder_ = new range_decoder(code, this.contexts_);
    this.blocks_ = region_voxels / 8;
    this.edge_ = this.blocks_ + 1;
    const row = this.row_ = region_voxels + 3, layer = this.layer_ = row * row;
    this.place_steps_ = Int32Array.from({ length: 512 }, (_, v) => (v & 7) + ((v >> 3) & 7) * row + (v >> 6) * layer);
    this.corner_steps_ = Int32Array.from({ length: 8 }, (_, c) => (c & 1) + ((c >> 1) & 1) * row + (c >> 2) * layer);
    this.rank_of_ = new Int32Array(this.edge_ ** 3).fill(-1);
  }

  /// The slots of the blocks that the patch touches, ascending.
  touched(): Uint16Array {
    const edge = this.edge_, ranks = this.rank_of_, slots = new Uint16Array(ranks.length);
    let count = 0;
    for (let z = 0, slot = 0; z < edge; z++)
      for (let y = 0; y < edge; y++)
        for (let x = 0; x < edge; x++, slot++) {
          const context = (x > 0 && ranks[slot - 1] >= 0 ? 1 : 0) | (y > 0 && ranks[slot - edge] >= 0 ? 2 : 0)
            | (z > 0 && ranks[slot - edge * edge] >= 0 ? 4 : 0);
          if (this.coder_.bit(touched_at + context) === 0) continue;
          ranks[slot] = count;
          slots[count++] = slot;
        }
    return (this.slots_ = slots.slice(0, count));
  }

  /// The cells of all touched blocks, which have `most_triangles` together at most.
  cells(most_triangles: number): coded_cells {
    const slots = this.slots_, edge = this.edge_, first = new Uint32Array(slots.length + 1);
    this.triangles_left_ = most_triangles;
    this.forget_();
    let length = 0;
    for (let rank = 0; rank < slots.length; rank++) {
      const slot = slots[rank], layer = Math.floor(slot / edge), x = slot % edge, y = layer % edge, z = Math.floor(layer / edge);
      if (x < this.blocks_ && y < this.blocks_ && z < this.blocks_) {
        this.block_(rank, slot, this.first_voxel_(slot));
        if (length + 512 > cells_.length) {
          const cells = new Uint16Array(2 * cells_.length), cases = new Uint8Array(cells.length);
          cells.set(cells_);
          cases.set(cases_);
          [cells_, cases_] = [cells, cases];
        }
        for (let word = 0; word < 16; word++) {
          for (let left = block_found[word]; left !== 0; left &= left - 1) {
            const place = 32 * word + 31 - Math.clz32(left & -left);
            cells_[length] = place;
            cases_[length++] = block_cases[place];
          }
          block_found[word] = 0;
        }
      }
      first[rank + 1] = length;
    }
    if (this.coder_.left !== 0) throw new cells_error(`its code has ${this.coder_.left} bytes more than it needs`);
    return { first, cells: cells_.subarray(0, length), cases: cases_.subarray(0, length) };
  }

  private first_voxel_(slot: number): number {
    const edge = this.edge_, layer = Math.floor(slot / edge);
    return 8 * (slot % edge) + 1 + (8 * (layer % edge) + 1) * this.row_ + (8 * Math.floor(layer / edge) + 1) * this.layer_;
  }

  /// Nothing is known of the touched blocks' voxels and of those around them. Other voxels are never looked at.
  private forget_(): void {
    const slots = this.slots_, layers = this.layer_ * 8, area = this.edge_ * this.edge_, size = this.layer_ * this.row_;
    if (voxels_.length < size) voxels_ = new Uint8Array(size);
    else if (slots.length > 0) {
      const low = Math.floor(slots[0] / area), high = Math.floor(slots[slots.length - 1] / area);
      voxels_.fill(0, low * layers, high * layers + 10 * this.layer_);
    }
    if (queues_.length < 512 * slots.length) queues_ = new Uint16Array(512 * slots.length);
    this.queued_ = new Uint16Array(slots.length);
    block_found.fill(0); // a payload before may have ended in an error
  }

  /// Reads a block's cells into block_cases and block_found.
  private block_(rank: number, slot: number, first: number): void {
    const coder = this.coder_, voxels = voxels_, queues = queues_, queued_of = this.queued_, place_steps = this.place_steps_;
    const row = this.row_, layer = this.layer_;
    for (let parts = 0, taken = 512 * rank; ; parts = parts < 3 ? parts + 1 : 3) {
      while (taken < 512 * rank + queued_of[rank]) {
        const place = queues[taken++], voxel = first + place_steps[place];
        const around = (voxels[voxel + 1] & decided) + (voxels[voxel - 1] & decided) + (voxels[voxel + row] & decided)
          + (voxels[voxel - row] & decided) + (voxels[voxel + layer] & decided) + (voxels[voxel - layer] & decided);
        const without = (around & (triangles - 1)) >> 3, having = around >> 7;
        if (coder.bit(active_at + 4 * (without < 3 ? without : 3) + (having < 3 ? having : 3)) === 0)
          voxels[voxel] |= no_triangles;
        else this.case_(rank, slot, place, voxel);
      }
      if (coder.bit(more_at + parts) === 0) return;
      const place = coder.plain(9), voxel = first + place_steps[place];
      if ((voxels[voxel] & queued) !== 0) throw new cells_error(`cell ${place} of block ${slot} comes a second time`);
      voxels[voxel] |= queued;
      this.case_(rank, slot, place, voxel);
    }
  }

  /// Reads the corners of a cell that are not known yet.
  private case_(rank: number, slot: number, place: number, voxel: number): void {
    const coder = this.coder_, voxels = voxels_, steps = this.corner_steps_;
    let inside = 0;
    // Two bits for each corner: its side.
    let sides = 0;
    for (let c = 0; c < 8; c++) sides |= (voxels[voxel + steps[c]] & side) << (2 * c);
    for (let c = 0; c < 8; c++) {
      let own = (sides >> (2 * c)) & side;
      if (own === 0) {
        own = outside + coder.bit(corners_at + 9 * ((sides >> (2 * (c ^ 1))) & side) + 3 * ((sides >> (2 * (c ^ 2))) & side)
          + ((sides >> (2 * (c ^ 4))) & side));
        sides |= own << (2 * c);
        voxels[voxel + steps[c]] |= own;
      }
      inside |= (own >> 1) << c;
    }
    if (inside === 0 || inside === 255) throw new cells_error(`cell ${place} of block ${slot} has all corners on one side`);
    this.triangles_left_ -= case_triangles[inside];
    if (this.triangles_left_ < 0) throw new cells_error("its cells have more triangles than the header says");
    voxels[voxel] |= triangles;
    block_cases[place] = inside;
    block_found[place >> 5] |= 1 << (place & 31);
    // The surface goes on through these faces, unless what is there was not observed.
    const faces = crossed_faces[inside], row = this.row_, layer = this.layer_;
    if ((faces & 1) !== 0 && (place & 7) !== 0) this.queue_(rank, voxel - 1, place - 1);
    if ((faces & 2) !== 0) {
      if ((place & 7) !== 7) this.queue_(rank, voxel + 1, place + 1);
      else this.queue_(this.rank_behind_(slot, 1), voxel + 1, place - 7);
    }
    if ((faces & 4) !== 0 && (place & 56) !== 0) this.queue_(rank, voxel - row, place - 8);
    if ((faces & 8) !== 0) {
      if ((place & 56) !== 56) this.queue_(rank, voxel + row, place + 8);
      else this.queue_(this.rank_behind_(slot, this.edge_), voxel + row, place - 56);
    }
    if ((faces & 16) !== 0 && place >= 64) this.queue_(rank, voxel - layer, place - 64);
    if ((faces & 32) !== 0) {
      if (place < 448) this.queue_(rank, voxel + layer, place + 64);
      else this.queue_(this.rank_behind_(slot, this.edge_ * this.edge_), voxel + layer, place - 448);
    }
  }

  /// The touched block behind another along an axis, if it can have cells; else -1.
  private rank_behind_(slot: number, step: number): number {
    return (Math.floor(slot / step) % this.edge_) + 1 < this.blocks_ ? this.rank_of_[slot + step] : -1;
  }

  private queue_(rank: number, voxel: number, place: number): void {
    if (rank < 0 || (voxels_[voxel] & queued) !== 0) return;
    voxels_[voxel] |= queued;
    queues_[512 * rank + this.queued_[rank]++] = place;
  }
}
