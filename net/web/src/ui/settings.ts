// What the user chose on this page, kept in the browser. Nothing else is stored: no address, no token.

import { type up_choice, up_choices } from "../scene/orientation";

export const shadings = ["colour", "photo", "clay", "normals", "region", "age", "height"] as const;
export type shading = (typeof shadings)[number];
export const bandwidths = [0, 1_000_000, 5_000_000, 20_000_000] as const;

export interface settings {
  shading: shading;
  outlines: boolean;
  path: boolean;
  backfaces: boolean;
  grid: boolean;
  up: up_choice;
  max_bits_per_s: number;
  panel: boolean;
  counters: boolean;
}

const defaults: settings = {
  shading: "colour", outlines: false, path: true, backfaces: true, grid: true, up: "auto", max_bits_per_s: 0, panel: true, counters: true,
};
const place = "tessera.viewer.2";

/// Reads what is stored; anything that is not a known value becomes the default. On a `small` screen the panel starts closed.
export function load_settings(small = false): settings {
  const s = { ...defaults };
  let stored: Record<string, unknown> = {};
  try {
    stored = (JSON.parse(localStorage.getItem(place) ?? "{}") ?? {}) as Record<string, unknown>;
  } catch {
    return s;
  }
  for (const name of ["outlines", "path", "backfaces", "grid", "panel", "counters"] as const) if (typeof stored[name] === "boolean") s[name] = stored[name];
  if (small) s.panel = false;
  if (shadings.includes(stored["shading"] as shading)) s.shading = stored["shading"] as shading;
  if (up_choices.includes(stored["up"] as up_choice)) s.up = stored["up"] as up_choice;
  if (bandwidths.includes(stored["max_bits_per_s"] as 0)) s.max_bits_per_s = stored["max_bits_per_s"] as number;
  return s;
}

/// Stores; a browser that forbids it (private mode) just forgets.
export function save_settings(s: settings): void {
  try {
    localStorage.setItem(place, JSON.stringify(s));
  } catch {
    return;
  }
}
