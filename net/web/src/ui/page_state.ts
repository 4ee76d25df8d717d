// What the page's address keeps of a view, behind the #: where the eye is, settings that have a name for it, what is cut. A
// reloaded or shared address shows the same again. Places are in the map's frame, so they mean the same whatever is found to be
// up later.

import type { travel_mode } from "../scene/controls";
import type { vector } from "../scene/orientation";
import { row_of, setting_names, setting_value, type settings } from "./settings";

export interface kept_view {
  eye: vector;
  forward: vector;
  /// To the point that orbiting turns around, metres.
  distance: number;
  mode: travel_mode;
}

export interface page_state {
  view: kept_view | undefined;
  settings: Partial<settings>;
  following: boolean;
  /// Low and high corner, upright frame.
  clip: [vector, vector] | undefined;
}

const in_address = setting_names.filter((name) => row_of(name).address !== undefined);
const short = (v: number): string => String(+v.toPrecision(6));
const numbers = (text: string | null, count: number): number[] | undefined => {
  const list = (text ?? "").split(",").map((t) => (t.trim() === "" ? NaN : Number(t)));
  return list.length === count && list.every((v) => Number.isFinite(v) && Math.abs(v) < 1e9) ? list : undefined;
};

export function write_page_state(s: page_state): string {
  const parts: string[] = [];
  if (s.following) parts.push("follow");
  else if (s.view) {
    parts.push(`eye=${s.view.eye.map(short).join()}`, `look=${s.view.forward.map((v) => +v.toFixed(5)).join()}`, `reach=${short(s.view.distance)}`);
    if (s.view.mode === "fly") parts.push("fly");
  }
  for (const name of in_address) if (s.settings[name] !== undefined) parts.push(`${row_of(name).address}=${encodeURIComponent(s.settings[name])}`);
  if (s.clip) parts.push(`cut=${[...s.clip[0], ...s.clip[1]].map(short).join()}`);
  return parts.join("&");
}

/// Reads what stands behind the #; what makes no sense is left out.
export function read_page_state(hash: string): page_state {
  const q = new URLSearchParams(hash.replace(/^#/, ""));
  const eye = numbers(q.get("eye"), 3) as vector | undefined, forward = numbers(q.get("look"), 3) as vector | undefined;
  const distance = numbers(q.get("reach"), 1)?.[0] ?? 1;
  const aimed = forward !== undefined && Math.hypot(...forward) > 0.5 && distance > 0;
  const cut = numbers(q.get("cut"), 6);
  const sound = cut !== undefined && [0, 1, 2].every((i) => cut[i] < cut[i + 3]);
  const settings = in_address.map((name) => [name, setting_value(name, q.get(row_of(name).address!))] as const);
  return {
    view: eye && aimed ? { eye, forward, distance, mode: q.has("fly") ? "fly" : "orbit" } : undefined,
    settings: Object.fromEntries(settings.filter(([, value]) => value !== undefined)),
    following: q.has("follow"),
    clip: sound ? [cut.slice(0, 3) as vector, cut.slice(3) as vector] : undefined,
  };
}

const write_every_ms = 400;

/// The part of the page's address behind the #, read and kept up to date.
export class kept_address {
  /// The view that was read, until the user moves on from it.
  restored: kept_view | undefined;
  private written_ = "";
  private written_at_ms_ = -Infinity;
  private restored_text_ = "";

  /// What stands in the address, if it is not what was written here.
  read(): page_state | undefined {
    const hash = location.hash.replace(/^#/, "");
    if (hash === "" || hash === this.written_) return undefined;
    const s = read_page_state(hash);
    this.restored = s.view;
    this.restored_text_ = "";
    return s;
  }

  /// Keeps the address in line, without an entry in the browser's history. Nothing is written before there is anything to keep.
  write(s: page_state): void {
    const now = performance.now();
    if (now - this.written_at_ms_ < write_every_ms) return;
    if (this.restored) {
      // The view as it was read comes back rounded, and turned if the upright was found since: it is the user's move that ends it.
      const view = write_page_state({ ...s, settings: {}, clip: undefined });
      this.restored_text_ ||= view;
      if (view !== this.restored_text_) this.restored = undefined;
    }
    const chosen = in_address.some((name) => s.settings[name] !== undefined && s.settings[name] !== row_of(name).default);
    const text = s.view || s.following || s.clip || chosen || this.written_ ? write_page_state(s) : "";
    if (text === this.written_ || text === location.hash.replace(/^#/, "")) return;
    this.written_ = text;
    this.written_at_ms_ = now;
    history.replaceState(history.state, "", `#${text}`);
  }
}
