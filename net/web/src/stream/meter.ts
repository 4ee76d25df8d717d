// Rates and percentiles over the last moments, for counters.

/// Sums amounts over a sliding window, in slots, so that a busy stream costs no memory.
export class rate_meter {
  total = 0;
  private slots_: Float64Array;
  private slot_ = 0;
  private slot_ms_: number;
  private since_: number | undefined;

  constructor(window_ms = 2000, slots = 20) {
    this.slots_ = new Float64Array(slots);
    this.slot_ms_ = window_ms / slots;
  }

  add(amount: number, at_ms: number): void {
    this.turn_(at_ms);
    this.slots_[this.slot_ % this.slots_.length] += amount;
    this.total += amount;
  }

  per_second(at_ms: number): number {
    this.turn_(at_ms);
    if (this.since_ === undefined) return 0;
    const seen_ms = Math.min(at_ms - this.since_, this.slots_.length * this.slot_ms_);
    let sum = 0;
    for (const s of this.slots_) sum += s;
    return (1000 * sum) / Math.max(seen_ms, 500);
  }

  private turn_(at_ms: number): void {
    const slot = Math.floor(at_ms / this.slot_ms_);
    if (this.since_ === undefined) {
      this.since_ = at_ms;
      this.slot_ = slot;
      return;
    }
    if (slot - this.slot_ >= this.slots_.length) this.slots_.fill(0);
    else for (let s = this.slot_ + 1; s <= slot; s++) this.slots_[s % this.slots_.length] = 0;
    this.slot_ = Math.max(slot, this.slot_);
  }
}

/// Keeps the values of the last `window_ms` (at most `limit` of them) and tells percentiles.
export class percentile_meter {
  private values_: { at: number; value: number }[] = [];
  constructor(
    private readonly window_ms_ = 10_000,
    private readonly limit_ = 2000,
  ) {}

  add(value: number, at_ms: number): void {
    this.values_.push({ at: at_ms, value });
    if (this.values_.length > this.limit_) this.values_.splice(0, this.limit_ >> 1);
  }

  /// The values at `fractions` (0.5 is the median), or undefined if there are none.
  at(fractions: number[], now_ms: number): number[] | undefined {
    this.values_ = this.values_.filter((v) => now_ms - v.at <= this.window_ms_);
    if (!this.values_.length) return undefined;
    const sorted = this.values_.map((v) => v.value).sort((a, b) => a - b);
    return fractions.map((f) => sorted[Math.min(sorted.length - 1, Math.floor(f * sorted.length))]);
  }
}
