// Rates between two polls.

import type { actor_status, service_state } from "./api";

export interface actor_rate {
  /// Messages handled a second, over the last interval.
  per_s: number;
  /// Share of the interval spent handling, 0 to 1 (more if the actor counts waiting).
  busy: number;
}

export const handled_by = (a: actor_status): number => a.handlers.reduce((n, h) => n + h.handled, 0);
const total_s = (a: actor_status): number => a.handlers.reduce((n, h) => n + h.total_s, 0);

/// Compares two polls; actors are known by their id, and a restarted one that counts from zero again gives no negative rate.
export function rates_between(before: service_state | undefined, now: service_state): Map<string, actor_rate> {
  const rates = new Map<string, actor_rate>();
  const dt = before ? now.at_s - before.at_s : 0;
  const old = new Map(before?.actors.map((a) => [`${a.role}/${a.id}`, a]) ?? []);
  for (const a of now.actors) {
    const key = `${a.role}/${a.id}`, was = old.get(key);
    rates.set(key, was && dt > 0 ? { per_s: Math.max(0, handled_by(a) - handled_by(was)) / dt,
      busy: Math.max(0, total_s(a) - total_s(was)) / dt } : { per_s: 0, busy: 0 });
  }
  return rates;
}

export const rate_key = (a: actor_status): string => `${a.role}/${a.id}`;
