// Time: this browser's clock, and how far the service's clock is from it.

/// Milliseconds since 1970, with fractions; never steps back while the page lives.
export const now_ms = (): number => performance.timeOrigin + performance.now();

/// Estimates (this clock - service clock) as the smallest difference seen lately: the message that travelled fastest.
/// What remains in it is that message's one-way delay, so latencies made with it leave that much out.
export class clock_offset {
  private samples_: number[] = [];
  constructor(private readonly keep_ = 60) {}

  add(service_ns: bigint, here_ms: number): void {
    const service_ms = Number(service_ns / 1000n) / 1000;
    this.samples_.push(here_ms - service_ms);
    if (this.samples_.length > this.keep_) this.samples_.shift();
  }

  clear(): void {
    this.samples_.length = 0;
  }

  /// Milliseconds to add to service time to get this clock's time; undefined until a sample is there.
  get ms(): number | undefined {
    return this.samples_.length ? Math.min(...this.samples_) : undefined;
  }

  /// A moment of the service's clock on this one, in milliseconds.
  here_ms(service_ns: bigint): number | undefined {
    const offset = this.ms;
    return offset === undefined ? undefined : Number(service_ns / 1000n) / 1000 + offset;
  }
}
