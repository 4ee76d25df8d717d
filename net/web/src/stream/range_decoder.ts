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
export const chance_bits = 11, certain = 1 << chance_bits, rate = 4;
/// What a context begins with.
export const even_chance = certain >> 1;
const least_range = 1 << 24;
/// Zeros that follow the code; whoever reads on has found an error.
const zeros_after = 4;

export class range_decoder {
  /// Unsigned, kept as signed.
  range = -1;
  code = 0;
  private at_ = 0;

  constructor(
    private readonly bytes_: Uint8Array,
    private readonly contexts_: Uint16Array,
  ) {
    for (let i = 0; i < 4; i++) this.code = (this.code << 8) | this.next();
    if (this.code === -1) throw new cells_error("its code begins with 4 bytes of 255");
  }

  /// A decision in a context, which learns from it.
  bit(context: number): number {
    const contexts = this.contexts_, chance = contexts[context];
    const bound = Math.imul(this.range >>> chance_bits, chance);
    let out = 0;
    if (this.code >>> 0 < bound >>> 0) {
      this.range = bound;
      contexts[context] = chance + ((certain - chance) >> rate);
    } else {
      this.range = (this.range - bound) | 0;
      this.code = (this.code - bound) | 0;
      contexts[context] = chance - (chance >> rate);
      out = 1;
    }
    if (this.range >>> 24 === 0) { // once is enough: no chance is below 15
      this.range <<= 8;
      this.code = (this.code << 8) | this.next();
    }
    return out;
  }

  /// So many bits (1 to 16) that are as likely as not.
  plain(count: number): number {
    let range = this.range >>> count, code = this.code >>> 0;
    const value = Math.floor(code / range);
    if (value >>> count !== 0) throw new cells_error(`its code is none before byte ${this.at_}`);
    code -= range * value;
    while (range < least_range) {
      range = (range << 8) >>> 0;
      code = ((code << 8) | this.next()) >>> 0;
    }
    this.range = range | 0;
    this.code = code | 0;
    return value;
  }

  /// Bytes that were not needed.
  get left(): number {
    return Math.max(0, this.bytes_.length - this.at_);
  }

  /// The next byte.
  next(): number {
    const at = this.at_++;
    if (at < this.bytes_.length) return this.bytes_[at];
    if (at >= this.bytes_.length + zeros_after)
      throw new cells_error(`its code of ${this.bytes_.length} bytes ends too early`);
    return 0;
  }
}
