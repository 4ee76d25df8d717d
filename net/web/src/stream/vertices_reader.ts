// The second half of docs/cells.md: which bits tell where edges are crossed, and the colours there.

import { cells_error } from "./range_decoder";

const most_level = 51, most_zeros = 12, long_bits = 7;
/// No vertex has more bits, and the words that they are taken from end so many bytes later at most.
const bytes_after = 16;

/// Where the newest vertices near a voxel are looked for, in a grid of 10^3 of which a block has the inner 8^3.
const near_steps = Int32Array.of(0, -1, -10, -100, -11, -9, -101, -99, -110, -90);
const near_place = Uint16Array.from({ length: 512 }, (_, v) => 111 + (v & 7) + 10 * ((v >> 3) & 7) + 100 * (v >> 6));
const near_colours = new Int32Array(1000);

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
    const { edges, fractions, colours } = to, near = near_colours, bits = this.bits_, means = this.means_, last_bit = this.end_;
    let at = this.at_, last = this.last_;
    near.fill(0);
    for (let v = begin, c = 3 * begin; v < end; v++, c += 3) {
      const edge = edges[v], place = near_place[(edge / 3) | 0];
      // Which of them have a colour: their top bytes are 1. No branch, since nothing tells beforehand where it goes.
      const has = (near[place] >> 24) | (near[place - 1] >> 24 << 1) | (near[place - 10] >> 24 << 2)
        | (near[place - 100] >> 24 << 3) | (near[place - 11] >> 24 << 4) | (near[place - 9] >> 24 << 5)
        | (near[place - 101] >> 24 << 6) | (near[place - 99] >> 24 << 7) | (near[place - 110] >> 24 << 8)
        | (near[place - 90] >> 24 << 9), others = has & (has - 1);
      let expected = last, found = 0;
      if (has !== 0) {
        expected = near[place + near_steps[31 - Math.clz32(has & -has)]] & 0xffffff;
        found = 1;
      }
      if (others !== 0) {
        const second = near[place + near_steps[31 - Math.clz32(others & -others)]];
        expected = ((expected + second + 0x010101) >> 1) & 0x7f7f7f;
        found = 2;
      }
      // A word has 25 bits at least, and fraction and green take 24 at most.
      let word = bits.getUint32(at >>> 3) << (at & 7), which = found, mean = means[which], low_bits = 32 - Math.clz32(mean >> 4);
      const fraction = word >>> 27;
      if (fraction === 0) throw new cells_error(`edge ${edge} of block ${slot} is crossed at its end`);
      fractions[v] = fraction;
      word <<= 5;
      at += 5;
      let zeros = Math.clz32(word), number: number;
      if (zeros < most_zeros) {
        number = (zeros << low_bits) | ((word << zeros << 1) >>> 1 >>> (31 - low_bits));
        at += zeros + 1 + low_bits;
      } else {
        number = (word << most_zeros) >>> (32 - long_bits);
        at += most_zeros + long_bits;
      }
      means[which] = mean + number - (mean >> 3);
      const green_off = off_of(number), green = ((expected >> 8) & 255) + green_off;

      which = 3 + at_most_2((number + 1) >> 1); // how far off green is
      mean = means[which];
      low_bits = 32 - Math.clz32(mean >> 4);
      word = bits.getUint32(at >>> 3) << (at & 7);
      zeros = Math.clz32(word);
      if (zeros < most_zeros) {
        number = (zeros << low_bits) | ((word << zeros << 1) >>> 1 >>> (31 - low_bits));
        at += zeros + 1 + low_bits;
      } else {
        number = (word << most_zeros) >>> (32 - long_bits);
        at += most_zeros + long_bits;
      }
      means[which] = mean + number - (mean >> 3);
      const red = within((expected & 255) + green_off) + off_of(number);

      which = 6 + at_most_2((number + 1) >> 1);
      mean = means[which];
      low_bits = 32 - Math.clz32(mean >> 4);
      word = bits.getUint32(at >>> 3) << (at & 7);
      zeros = Math.clz32(word);
      if (zeros < most_zeros) {
        number = (zeros << low_bits) | ((word << zeros << 1) >>> 1 >>> (31 - low_bits));
        at += zeros + 1 + low_bits;
      } else {
        number = (word << most_zeros) >>> (32 - long_bits);
        at += most_zeros + long_bits;
      }
      means[which] = mean + number - (mean >> 3);
      const blue = within((expected >> 16) + green_off) + off_of(number);

      // Of numbers that are negative or more than 51, one of these bits is set.
      if (((red | green | blue | (red + 12) | (green + 12) | (blue + 12)) & ~63) !== 0)
        throw new cells_error(`a colour of ${red}, ${green}, ${blue}, not 0 to ${most_level} each`);
      if (at > last_bit) throw new cells_error(`its ${last_bit / 8} bytes of bits end too early`);
      colours[c] = red;
      colours[c + 1] = green;
      colours[c + 2] = blue;
      last = red | (green << 8) | (blue << 16);
      near[place] = last | (1 << 24);
    }
    this.at_ = at;
    this.last_ = last;
  }

  /// Nothing may be left over but the zeros that fill the last byte.
  end(): void {
    const left = this.end_ - this.at_;
    if (left >= 8 || (left > 0 && (this.bits_.getUint8(this.at_ >>> 3) << (this.at_ & 7) & 255) !== 0))
      throw new cells_error("it has more bits than its vertices need");
  }
}

/// 0, 1, -1, 2, -2, ... for 0, 1, 2, 3, 4, ...
function off_of(number: number): number {
  const odd = number & 1;
  return (((number + 1) >> 1) ^ (odd - 1)) + 1 - odd;
}

function at_most_2(x: number): number {
  return 2 + ((x - 2) & ((x - 2) >> 31));
}

function within(level: number): number {
  return level < 0 ? 0 : level > most_level ? most_level : level;
}
