// The adaptive binary range decoder of docs/cells.md: each context has a chance of 0, which moves towards what was found.

/// A payload cannot be what it claims to be; `missing` tells that only what it builds on is not held.
export class cells_error extends Error {
  override name = "cells_error";
  constructor(
    message: string,
    readonly missing = false,
  ) {
    super(message);
  }
}

/// Chances are in 2048ths, and move by a 16th of the way.
const chance_bits = 11, certain = 1 << chance_bits, rate = 4;
/// What a context begins with.
export const even_chance = certain >> 1;
const least_range = 1 << 24;
/// Zeros that follow the code; whoever reads on has found an error.
const zeros_after = 4;

export class range_decoder {
  /// Range and code, in an array of their own: numbers of 32 bits that are fields are boxed at each change.
  private state_ = new Uint32Array(2);
  private at_ = 0;

  constructor(
    private readonly bytes_: Uint8Array,
    private readonly contexts_: Uint16Array,
  ) {
    this.state_[0] = 0xffffffff;
    for (let i = 0; i < 4; i++) this.state_[1] = (this.state_[1] << 8) | this.next_();
    if (this.state_[1] === 0xffffffff) throw new cells_error("its code begins with 4 bytes of 255");
  }

  /// A decision in a context, which learns from it.
  bit(context: number): number {
    const state = this.state_, contexts = this.contexts_, chance = contexts[context];
    let range = state[0], code = state[1], out = 0;
    const bound = Math.imul(range >>> chance_bits, chance) >>> 0;
    if (code < bound) {
      range = bound;
      contexts[context] = chance + ((certain - chance) >> rate);
    } else {
      range = (range - bound) >>> 0;
      code = (code - bound) >>> 0;
      contexts[context] = chance - (chance >> rate);
      out = 1;
    }
    if (range < least_range) { // once is enough: no chance is below 15
      range = (range << 8) >>> 0;
      code = ((code << 8) | this.next_()) >>> 0;
    }
    state[0] = range;
    state[1] = code;
    return out;
  }

  /// So many bits (1 to 16) that are as likely as not.
  plain(count: number): number {
    let range = this.state_[0] >>> count, code = this.state_[1];
    const value = (code / range) >>> 0;
    if (value >>> count !== 0) throw new cells_error(`its code is none before byte ${this.at_}`);
    code = (code - Math.imul(range, value)) >>> 0;
    while (range < least_range) {
      range = (range << 8) >>> 0;
      code = ((code << 8) | this.next_()) >>> 0;
    }
    this.state_[0] = range;
    this.state_[1] = code;
    return value;
  }

  /// Bytes that were not needed.
  get left(): number {
    return Math.max(0, this.bytes_.length - this.at_);
  }

  private next_(): number {
    const at = this.at_++;
    if (at < this.bytes_.length) return this.bytes_[at];
    if (at >= this.bytes_.length + zeros_after)
      throw new cells_error(`its code of ${this.bytes_.length} bytes ends too early`);
    return 0;
  }
}
