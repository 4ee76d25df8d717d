// The first half of docs/cells.md: which decisions tell a region's cells, in which order and in which contexts.

import { triangle_edges } from "./marching_cubes";
import { cells_error, certain, chance_bits, even_chance, range_decoder, rate } from "./range_decoder";

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

/// For the sum of what is decided of the six cells at the faces of a cell: how many have none, and how many have triangles, each
/// at most 3.
const active_context = Uint8Array.from({ length: 6 * decided + 1 }, (_, around) =>
  4 * Math.min(3, (around & (triangles - 1)) >> 3) + Math.min(3, around >> 7));

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
  private readonly place_steps_ = new Int32Array(512);
  private readonly corner_steps_ = new Int32Array(8);
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
    for (let v = 0; v < 512; v++) this.place_steps_[v] = (v & 7) + ((v >> 3) & 7) * row + (v >> 6) * layer;
    for (let c = 0; c < 8; c++) this.corner_steps_[c] = (c & 1) + ((c >> 1) & 1) * row + (c >> 2) * layer;
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

  /// Reads a block's cells into block_cases and block_found. One function, with the coder's state in its own variables: this is
  /// where the time goes.
  private block_(rank: number, slot: number, first: number): void {
    const coder = this.coder_, contexts = this.contexts_, voxels = voxels_, queues = queues_, queued_of = this.queued_;
    const place_steps = this.place_steps_, steps = this.corner_steps_, row = this.row_, layer = this.layer_, edge = this.edge_;
    const first_queued = 512 * rank;
    let { range, code } = coder, waiting = queued_of[rank], triangles_left = this.triangles_left_;
    for (let parts = 0, taken = 0; ; ) {
      let place: number, voxel: number;
      if (taken < waiting) {
        place = queues[first_queued + taken++];
        voxel = first + place_steps[place];
        const around = (voxels[voxel + 1] & decided) + (voxels[voxel - 1] & decided) + (voxels[voxel + row] & decided)
          + (voxels[voxel - row] & decided) + (voxels[voxel + layer] & decided) + (voxels[voxel - layer] & decided);
        const context = active_at + active_context[around], chance = contexts[context];
        const bound = Math.imul(range >>> chance_bits, chance);
        let is_active = false;
        if ((code >>> 0) < (bound >>> 0)) {
          range = bound;
          contexts[context] = chance + ((certain - chance) >> rate);
        } else {
          range = (range - bound) | 0;
          code = (code - bound) | 0;
          contexts[context] = chance - (chance >> rate);
          is_active = true;
        }
        if (range >>> 24 === 0) {
          range <<= 8;
          code = (code << 8) | coder.next();
        }
        if (!is_active) {
          voxels[voxel] |= no_triangles;
          continue;
        }
      } else {
        coder.range = range;
        coder.code = code;
        if (coder.bit(more_at + parts) === 0) break;
        place = coder.plain(9);
        range = coder.range;
        code = coder.code;
        voxel = first + place_steps[place];
        if ((voxels[voxel] & queued) !== 0) throw new cells_error(`cell ${place} of block ${slot} comes a second time`);
        voxels[voxel] |= queued;
        parts = parts < 3 ? parts + 1 : 3;
      }

      // The sides of the corners, two bits each.
      let sides = (voxels[voxel] & side) | ((voxels[voxel + 1] & side) << 2) | ((voxels[voxel + row] & side) << 4)
        | ((voxels[voxel + row + 1] & side) << 6) | ((voxels[voxel + layer] & side) << 8)
        | ((voxels[voxel + layer + 1] & side) << 10) | ((voxels[voxel + layer + row] & side) << 12)
        | ((voxels[voxel + layer + row + 1] & side) << 14);
      for (let unknown = ~(sides | (sides >> 1)) & 0x5555; unknown !== 0; unknown &= unknown - 1) {
        const at = 31 - Math.clz32(unknown & -unknown);
        const context = corners_at + 9 * ((sides >> (at ^ 2)) & side) + 3 * ((sides >> (at ^ 4)) & side)
          + ((sides >> (at ^ 8)) & side);
        const chance = contexts[context], bound = Math.imul(range >>> chance_bits, chance);
        let own = outside;
        if ((code >>> 0) < (bound >>> 0)) {
          range = bound;
          contexts[context] = chance + ((certain - chance) >> rate);
        } else {
          range = (range - bound) | 0;
          code = (code - bound) | 0;
          contexts[context] = chance - (chance >> rate);
          own = outside + 1;
        }
        if (range >>> 24 === 0) {
          range <<= 8;
          code = (code << 8) | coder.next();
        }
        sides |= own << at;
        voxels[voxel + steps[at >> 1]] |= own;
      }
      const inside = every_other(sides >> 1);
      if (inside === 0 || inside === 255) throw new cells_error(`cell ${place} of block ${slot} has all corners on one side`);
      triangles_left -= case_triangles[inside];
      if (triangles_left < 0) throw new cells_error("its cells have more triangles than the header says");
      voxels[voxel] |= triangles;
      block_cases[place] = inside;
      block_found[place >> 5] |= 1 << (place & 31);

      // The surface goes on through these faces, unless what is there was not observed.
      const reached = ((voxels[voxel - 1] & queued) >> 2) | ((voxels[voxel + 1] & queued) >> 1) | (voxels[voxel - row] & queued)
        | ((voxels[voxel + row] & queued) << 1) | ((voxels[voxel - layer] & queued) << 2)
        | ((voxels[voxel + layer] & queued) << 3);
      for (let faces = crossed_faces[inside] & ~reached; faces !== 0; faces &= faces - 1) {
        const face = 31 - Math.clz32(faces & -faces), shift = 3 * (face >> 1), place_step = 1 << shift;
        const voxel_step = face < 2 ? 1 : face < 4 ? row : layer, at = (place >> shift) & 7;
        if ((face & 1) === 0) {
          if (at === 0) continue;
          voxels[voxel - voxel_step] |= queued;
          queues[first_queued + waiting++] = place - place_step;
        } else if (at !== 7) {
          voxels[voxel + voxel_step] |= queued;
          queues[first_queued + waiting++] = place + place_step;
        } else {
          const behind = this.rank_behind_(slot, face < 2 ? 1 : face < 4 ? edge : edge * edge);
          if (behind < 0) continue;
          voxels[voxel + voxel_step] |= queued;
          queues[512 * behind + queued_of[behind]++] = place - 7 * place_step;
        }
      }
    }
    this.triangles_left_ = triangles_left;
  }

  /// The touched block behind another along an axis, if it can have cells; else -1.
  private rank_behind_(slot: number, step: number): number {
    return (Math.floor(slot / step) % this.edge_) + 1 < this.blocks_ ? this.rank_of_[slot + step] : -1;
  }
}

/// The even bits of 16, one beside the other.
function every_other(bits: number): number {
  bits &= 0x5555;
  bits = (bits | (bits >> 1)) & 0x3333;
  bits = (bits | (bits >> 2)) & 0x0f0f;
  return (bits | (bits >> 4)) & 0xff;
}
