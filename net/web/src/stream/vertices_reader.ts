// The second half of docs/cells.md: which bits tell where edges are crossed, and the colours there.

import { cells_error } from "./range_decoder";

const most_level = 51, most_zeros = 12, long_bits = 7;
/// No vertex has more bits, and the words that they are taken from end so many bytes later at most.
const bytes_after = 16;

/// Where the newest vertices near a voxel are looked for, in a grid of 10^3 of which a block has the inner 8^3.
const near_steps = Int32Array.of(0, -1, -10, -100, -11, -9, -101, -99, -110, -90);
const near_place = Uint16Array.from({ length: 512 }, (_, v) => 111 + (v & 7) + 10 * ((v >> 3) & 7) + 100 * (v >> 6));
const near_colours = new Uint32Array(1000);

/// Reads the vertices of one payload, touched block by touched block; then end().
export class vertices_reader {
  private readonly bits_: DataView;
  private readonly end_: number;
  private at_ = 0;
  /// Eight times the mean of the numbers of late: three of green, of red, of blue.
  private readonly means_ = new Int32Array(9).fill(16);
  private last_ = 26 | (26 << 8) | (26 << 16);

  constructor(bits: Uint8Array) {
    const longer = new Uint8Array(bits.length + bytes_after);
    longer.set(bits);
    this.bits_ = new DataView(longer.buffer);
    this.end_ = 8 * bits.length;
  }

  /// Reads those on the edges from `begin` to `end`.
  block(slot: number, to: { edges: Uint16Array; fractions: Uint8Array; colours: Uint8Array }, begin: number, end: number): void {
    const { edges, fractions, colours } = to, near = near_colours;
    near.fill(0);
    for (let v = begin; v < end; v++) {
      const edge = edges[v], fraction = (this.bits_.getUint32(this.at_ >>> 3) << (this.at_ & 7)) >>> 27;
      if (fraction === 0) throw new cells_error(`edge ${edge} of block ${slot} is crossed at its end`);
      this.at_ += 5;
      fractions[v] = fraction;
      const at = near_place[(edge / 3) | 0];
      let found = 0, expected = this.last_;
      for (let i = 0; i < 10; i++) {
        const colour = near[at + near_steps[i]];
        if (colour === 0) continue;
        if (++found === 2) {
          expected = ((expected + colour + 0x010101) >> 1) & 0x7f7f7f;
          break;
        }
        expected = colour & 0xffffff;
      }
      const green_off = this.off_(found), green = ((expected >> 8) & 255) + green_off;
      const red_off = this.off_(3 + (green_off === 0 ? 0 : green_off * green_off === 1 ? 1 : 2));
      const red = within((expected & 255) + green_off) + red_off;
      const blue_off = this.off_(6 + (red_off === 0 ? 0 : red_off * red_off === 1 ? 1 : 2));
      const blue = within((expected >> 16) + green_off) + blue_off;
      if (red < 0 || red > most_level || green < 0 || green > most_level || blue < 0 || blue > most_level)
        throw new cells_error(`a colour of ${red}, ${green}, ${blue}, not 0 to ${most_level} each`);
      if (this.at_ > this.end_) throw new cells_error(`its ${this.end_ / 8} bytes of bits end too early`);
      colours[3 * v] = red;
      colours[3 * v + 1] = green;
      colours[3 * v + 2] = blue;
      this.last_ = red | (green << 8) | (blue << 16);
      near[at] = this.last_ | (1 << 24);
    }
  }

  /// Nothing may be left over but the zeros that fill the last byte.
  end(): void {
    const left = this.end_ - this.at_;
    if (left >= 8 || (left > 0 && (this.bits_.getUint8(this.at_ >>> 3) << (this.at_ & 7) & 255) !== 0))
      throw new cells_error("it has more bits than its vertices need");
  }

  /// How far a channel is off what is expected: Rice's code for the mean of late.
  private off_(which: number): number {
    const mean = this.means_[which], low_bits = 32 - Math.clz32(mean >> 4);
    const word = this.bits_.getUint32(this.at_ >>> 3) << (this.at_ & 7), zeros = Math.clz32(word);
    let number = (word << most_zeros) >>> (32 - long_bits);
    if (zeros < most_zeros) {
      number = (zeros << low_bits) | ((word << zeros) >>> (31 - low_bits)) & ((1 << low_bits) - 1);
      this.at_ += zeros + 1 + low_bits;
    } else this.at_ += most_zeros + long_bits;
    this.means_[which] = mean + number - (mean >> 3);
    return (number & 1) !== 0 ? (number + 1) >> 1 : -(number >> 1);
  }
}

function within(level: number): number {
  return level < 0 ? 0 : level > most_level ? most_level : level;
}
