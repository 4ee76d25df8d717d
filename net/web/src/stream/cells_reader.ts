// The model of docs/cells.md: which decisions tell a region's cells and vertices, in which order and in which contexts.

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
const touched_at = 0, active_at = 8, more_at = 24, corners_at = 28, fractions_at = 55, green_at = 70, red_at = 94, blue_at = 118,
  contexts_end = 158;

// What is known of a voxel: its side, and of the cell whose lowest corner it is.
const outside = 1, side = 3, queued = 4, no_triangles = 8, triangles = 128, decided = no_triangles | triangles;

const most_level = 51, first_colour = 26 | (26 << 8) | (26 << 16);

/// Where the newest vertices near a voxel are looked for, in a grid of 10^3 of which a block has the inner 8^3.
const near_steps = Int32Array.of(0, -1, -10, -100, -11, -9, -101, -99, -110, -90);
const near_place = Uint16Array.from({ length: 512 }, (_, v) => 111 + (v & 7) + 10 * ((v >> 3) & 7) + 100 * (v >> 6));

/// Cells of the blocks that a patch touches, block by block; those of block i from first[i] to first[i + 1].
export interface coded_cells {
  first: Uint32Array;
  cells: Uint16Array;
  cases: Uint8Array;
}

// Memory that is used again from one patch to the next; it grows to what the largest needs.
let voxels_ = new Uint8Array(0), queues_ = new Uint16Array(0);
let cells_ = new Uint16Array(1 << 12), cases_ = new Uint8Array(1 << 12);
const block_cases = new Uint8Array(512), block_found = new Uint32Array(16), near_colours = new Uint32Array(1000);

/// Reads one payload, in this order: touched(), cells(), vertices() of each touched block, end().
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
  private last_colour_ = first_colour;

  constructor(payload: Uint8Array, from: number, region_voxels: number) {
    this.coder_ = new range_decoder(payload, from, this.contexts_);
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
    return { first, cells: cells_.subarray(0, length), cases: cases_.subarray(0, length) };
  }

  /// The vertices of a touched block, those from `begin` to `end` of these edges.
  vertices(slot: number, edges: Uint16Array, begin: number, end: number, fractions: Uint8Array, colours: Uint8Array): void {
    const coder = this.coder_, voxels = voxels_, first = this.first_voxel_(slot), place_steps = this.place_steps_;
    const row = this.row_, layer = this.layer_, near = near_colours;
    near.fill(0);
    for (let v = begin; v < end; v++) {
      const edge = edges[v], place = (edge / 3) | 0, axis = edge - 3 * place, voxel = first + place_steps[place];
      // An edge beside this one that is not crossed lies wholly on one side: the surface is further up or further down there.
      const along = axis === 0 ? 1 : axis === 1 ? row : layer, one = axis === 0 ? row : 1, other = axis === 2 ? row : layer;
      const own = voxels[voxel] & side;
      let low = voxels[voxel - one] & side, level = 2;
      if (low !== 0 && low === (voxels[voxel - one + along] & side)) level += low === own ? 1 : -1;
      low = voxels[voxel + one] & side;
      if (low !== 0 && low === (voxels[voxel + one + along] & side)) level += low === own ? 1 : -1;
      low = voxels[voxel - other] & side;
      if (low !== 0 && low === (voxels[voxel - other + along] & side)) level += low === own ? 1 : -1;
      low = voxels[voxel + other] & side;
      if (low !== 0 && low === (voxels[voxel + other + along] & side)) level += low === own ? 1 : -1;
      const context = fractions_at + 3 * (level < 0 ? 0 : level > 4 ? 4 : level);
      const half = coder.bit(context), quarter = coder.bit(context + 1 + half);
      const fraction = (half << 4) | (quarter << 3) | coder.plain(3);
      if (fraction === 0) throw new cells_error(`edge ${edge} of block ${slot} is crossed at its end`);
      fractions[v] = fraction;

      const at = near_place[place];
      let found = 0, expected = this.last_colour_;
      for (let i = 0; i < 10; i++) {
        const colour = near[at + near_steps[i]];
        if (colour === 0) continue;
        if (++found === 2) {
          expected = ((expected + (colour & 0xffffff) + 0x010101) >> 1) & 0x7f7f7f;
          break;
        }
        expected = colour & 0xffffff;
      }
      const green_off = this.off_(green_at + 8 * found), green = ((expected >> 8) & 255) + green_off;
      const strayed = green_off < 0 ? -green_off : green_off;
      const red_off = this.off_(red_at + 8 * (strayed < 2 ? strayed : 2));
      const red = within((expected & 255) + green_off) + red_off;
      const blue_off = this.off_(blue_at + 8 * (2 + (red_off < -2 ? -2 : red_off > 2 ? 2 : red_off)));
      const blue = within((expected >> 16) + green_off) + blue_off;
      if (red < 0 || red > most_level || green < 0 || green > most_level || blue < 0 || blue > most_level)
        throw new cells_error(`a colour of ${red}, ${green}, ${blue}, not 0 to ${most_level} each`);
      colours[3 * v] = red;
      colours[3 * v + 1] = green;
      colours[3 * v + 2] = blue;
      const colour = red | (green << 8) | (blue << 16);
      this.last_colour_ = colour;
      near[at] = colour | (1 << 24);
    }
  }

  /// Nothing may be left over.
  end(): void {
    if (this.coder_.left !== 0) throw new cells_error(`${this.coder_.left} bytes more than its code needs`);
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

  /// How far a level is from what was expected: is it off, is it below, is it further off by one more and one more.
  private off_(contexts: number): number {
    const coder = this.coder_;
    if (coder.bit(contexts) === 0) return 0;
    const below = coder.bit(contexts + 1);
    let distance = 1;
    while (coder.bit(contexts + 1 + (distance < 6 ? distance : 6)) !== 0) if (++distance > most_level) break;
    return below !== 0 ? -distance : distance;
  }
}

function within(level: number): number {
  return level < 0 ? 0 : level > most_level ? most_level : level;
}
