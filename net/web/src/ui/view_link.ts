// A view as a text: where the eye is, which region is chosen, settings that have a name for it, what is cut. It stands behind the
// # of the page's address, and in `view` of <tessera-view>. Places are in the map's frame, so they mean the same whatever is
// found to be up later.

import type { travel_mode } from "../scene/controls";
import type { corners } from "../scene/cut";
import type { vector } from "../scene/orientation";
import type { region } from "../stream/protocol";
import { row_of, setting_names, setting_value, type settings } from "./settings";

export interface kept_view {
  eye: vector;
  forward: vector;
  /// To the point that orbiting turns around, metres.
  distance: number;
  mode: travel_mode;
}

export interface view_link {
  view: kept_view | undefined;
  settings: Partial<settings>;
  following: boolean;
  /// Marked; and put into view, if the link has no eye of its own.
  region: region | undefined;
  /// Upright frame.
  clip: corners | undefined;
}

const in_link = setting_names.filter((name) => row_of(name).address !== undefined);
/// What is written has six digits: with the bound itself allowed, what was read can be read again.
const bound = 1e9;
const short = (v: number): string => String(+v.toPrecision(6));
const numbers = (text: string | null, count: number): number[] | undefined => {
  const list = (text ?? "").split(",").map((t) => (t.trim() === "" ? NaN : Number(t)));
  return list.length === count && list.every((v) => Number.isFinite(v) && Math.abs(v) <= bound) ? list : undefined;
};

/// Whether there is anything to say that a link without a word does not say.
export const says_something = (s: view_link): boolean =>
  Boolean(s.view || s.following || s.region || s.clip)
    || in_link.some((name) => s.settings[name] !== undefined && s.settings[name] !== row_of(name).default);

export function write_view_link(s: view_link): string {
  const parts: string[] = [];
  if (s.following) parts.push("follow");
  else if (s.view) {
    parts.push(`eye=${s.view.eye.map(short).join()}`, `look=${s.view.forward.map((v) => +v.toFixed(5)).join()}`,
      `reach=${short(s.view.distance)}`);
    if (s.view.mode === "fly") parts.push("fly");
  }
  if (s.region) parts.push(`region=${s.region.join()}`);
  for (const name of in_link) if (s.settings[name] !== undefined)
    parts.push(`${row_of(name).address}=${encodeURIComponent(s.settings[name])}`);
  if (s.clip) parts.push(`cut=${[...s.clip[0], ...s.clip[1]].map(short).join()}`);
  return parts.join("&");
}

/// Reads a text, with or without its #; what makes no sense is left out.
export function read_view_link(text: string): view_link {
  const q = new URLSearchParams(text.replace(/^#/, ""));
  const eye = numbers(q.get("eye"), 3) as vector | undefined, forward = numbers(q.get("look"), 3) as vector | undefined;
  const distance = numbers(q.get("reach"), 1)?.[0] ?? 1;
  const aimed = forward !== undefined && Math.hypot(...forward) > 0.5 && distance > 0;
  const region = numbers(q.get("region"), 3) as region | undefined;
  const cut = numbers(q.get("cut"), 6);
  const sound = cut !== undefined && [0, 1, 2].every((i) => cut[i] < cut[i + 3]);
  const settings = in_link.map((name) => [name, setting_value(name, q.get(row_of(name).address!))] as const);
  return {
    view: eye && aimed ? { eye, forward, distance, mode: q.has("fly") ? "fly" : "orbit" } : undefined,
    settings: Object.fromEntries(settings.filter(([, value]) => value !== undefined)),
    following: q.has("follow"),
    region: region?.every(Number.isInteger) ? region : undefined,
    clip: sound ? [cut.slice(0, 3) as vector, cut.slice(3) as vector] : undefined,
  };
}
