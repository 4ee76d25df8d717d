// What the service counts (/metrics), and how fast it counts.

/// Totals since the service began.
export interface service_counts {
  /// Keyframes that were answered, whatever the answer, and as often as they came.
  offered: number;
  accepted: number;
  /// By outcome: accepted, duplicate, refused, ...
  outcomes: Record<string, number>;
  /// Regions that were meshed.
  meshes: number;
  patches: number;
  sent_patches: number;
}

/// Reads the lines of Prometheus' text format that the page shows; what is not there counts as 0.
export function read_counts(metrics: string): service_counts {
  const out: service_counts = { offered: 0, accepted: 0, outcomes: {}, meshes: 0, patches: 0, sent_patches: 0 };
  for (const line of metrics.split("\n")) {
    const found = /^(tessera_\w+?)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!found) continue;
    const value = Number(found[3]);
    if (!Number.isFinite(value)) continue;
    if (found[1] === "tessera_keyframes_total") {
      const outcome = /outcome="([^"]*)"/.exec(found[2] ?? "")?.[1] ?? "";
      out.outcomes[outcome] = value;
      out.offered += value;
      if (outcome === "accepted") out.accepted = value;
    } else if (found[1] === "tessera_keyframes_not_now_total") {
      if (found[2] !== 'reason="input"') out.offered += value; // of those nothing could be read, and nothing was offered
    } else if (found[1] === "tessera_stage_duration_seconds_count") {
      if (found[2] === 'stage="extract"') out.meshes = value;
    } else if (found[1] === "tessera_patches_total") out.patches = value;
    else if (found[1] === "tessera_sent_patches_total") out.sent_patches = value;
  }
  return out;
}

export type counted = "offered" | "accepted" | "meshes" | "patches" | "sent_patches";
export type count_rates = Record<counted, number>;

const names: counted[] = ["offered", "accepted", "meshes", "patches", "sent_patches"];

/// Rates over the last seconds: long enough that three keyframes a second read as three, and not as two or four.
export class count_window {
  private seen_: { at_s: number; counts: service_counts }[] = [];
  constructor(private readonly window_s_ = 4) {}

  /// Rates after a look at `at_s`; undefined after the first one. A counter that fell belongs to a service that began anew.
  add(at_s: number, counts: service_counts): count_rates | undefined {
    const last = this.seen_[this.seen_.length - 1];
    if (last && names.some((n) => counts[n] < last.counts[n])) this.seen_ = [];
    this.seen_.push({ at_s, counts });
    while (this.seen_.length > 2 && at_s - this.seen_[1].at_s >= this.window_s_) this.seen_.shift();
    const first = this.seen_[0], dt = at_s - first.at_s;
    if (!(dt > 0)) return undefined;
    return Object.fromEntries(names.map((n) => [n, (counts[n] - first.counts[n]) / dt])) as count_rates;
  }

  clear(): void {
    this.seen_ = [];
  }
}
