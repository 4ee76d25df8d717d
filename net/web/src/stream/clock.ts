// Time: this browser's clock, and how far the service's clock is from it.

/// Milliseconds since 1970, with fractions; never steps back while the page lives.
export const now_ms = (): number => performance.timeOrigin + performance.now();

/// Nanoseconds as milliseconds; microseconds survive.
export const ms_of = (ns: bigint): number => Number(ns / 1000n) / 1000;

/// Estimates (this clock - service clock) as the smallest difference seen lately: the message that travelled fastest.
/// What remains in it is that message's one-way delay, so latencies made with it leave that much out.
export class clock_offset {
  private samples_: number[] = [];
  constructor(private readonly keep_ = 60) {}

  add(service_ns: bigint, here_ms: number): void {
    this.samples_.push(here_ms - ms_of(service_ns));
    if (this.samples_.length > this.keep_) this.samples_.shift();
  }

  clear(): void {
    this.samples_.length = 0;
  }

  /// Milliseconds to add to service time to get this clock's time; undefined until a sample is there.
  get ms(): number | undefined {
    return this.samples_.length ? Math.min(...this.samples_) : undefined;
  }

  /// How long ago a moment of the service's clock was, in milliseconds; undefined before the first sample.
  since_ms(service_ms: number, here_ms: number): number | undefined {
    const offset = this.ms;
    return offset === undefined ? undefined : here_ms - offset - service_ms;
  }
}
