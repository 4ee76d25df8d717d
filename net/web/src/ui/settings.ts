// Every setting of the view, a row each. The panel, the bar, the keys, the help sheet, links to a view and what the browser keeps
// follow from the rows. Nothing else is stored: no address, no token.

import { type up_choice, up_choices } from "../scene/orientation";
import type { map_view } from "../map_view";
import type { action, action_group } from "./actions";

export type shading = "colour" | "photo" | "clay" | "normals" | "region" | "age" | "height";

interface row<value> {
  label: string;
  /// What it is until the user chooses; `on_small`: at the start on a small screen, whatever was chosen.
  default: value;
  on_small?: value;
  /// Its name in a link to the view, and so in the page's address. A setting without one is kept in the browser alone.
  address?: string;
  /// Does what it means, at the start and whenever it was set.
  apply(v: map_view, value: value): void;
}

/// On or off: a switch of the panel ("show"), or a button ("panels").
export interface switch_row extends row<boolean>, Pick<action, "group" | "help" | "key" | "icon" | "bar"> {}

interface options_row<value> extends row<value> {
  options: readonly { value: value; label: string; help?: string }[];
}

/// One of some values, as a list of the panel.
export interface list_row<value> extends options_row<value> {
  shown: "list";
  /// A line below the list, if there is something to say.
  hint?(v: map_view): string;
}

/// One of some values, as buttons of the panel, below the label.
export interface buttons_row<value> extends options_row<value> {
  shown: "buttons";
  /// Under which title the help sheet has them.
  group: action_group;
  /// A letter or digit for each option, in their order, that no other action has: two of one key, and the page does not start.
  keys: string;
}

export type choice_row<value> = list_row<value> | buttons_row<value>;

const on_off = (r: switch_row): switch_row => r;
const one_of = <value>(r: choice_row<value>): choice_row<value> => r;

const up_names: Record<up_choice, string> = { auto: "Automatic", "-y": "−Y", "+y": "+Y", "+z": "+Z", "-z": "−Z", "+x": "+X",
  "-x": "−X" };
const level_hints = { chosen: "", floor: "Level with the floor that was found.", cameras: "Level with the cameras." };

export const rows = {
  shading: one_of<shading>({
    label: "Shading", default: "colour", address: "shade", shown: "buttons", group: "shading", keys: "1234567",
    options: [
      { value: "colour", label: "Colour", help: "colours in soft light" },
      { value: "photo", label: "Unlit", help: "colours as the cameras saw them" },
      { value: "clay", label: "Shape", help: "shape alone, like clay" },
      { value: "normals", label: "Normals", help: "which way surfaces face" },
      { value: "region", label: "Region", help: "the cubes that the map is kept in" },
      { value: "age", label: "Age", help: "how long ago each region changed" },
      { value: "height", label: "Height", help: "height above the lowest point" },
    ],
    apply: (v, value) => v.scene.surfaces.material.set_shading(value),
  }),
  outlines: on_off({ label: "Region outlines", default: false, group: "show", key: "o",
    apply: (v, on) => void (v.scene.outlines.lines.visible = on) }),
  path: on_off({ label: "Camera path", default: true, group: "show", key: "p",
    apply: (v, on) => void (v.scene.path.group.visible = on) }),
  grid: on_off({ label: "Ground grid", default: true, group: "show", key: "g", apply: (v, on) => v.scene.show_grid(on) }),
  backfaces: on_off({ label: "Back faces, as veils", default: true, group: "show", key: "b",
    apply: (v, on) => v.scene.surfaces.material.set_backfaces(on) }),
  up: one_of<up_choice>({
    label: "Up axis", default: "auto", address: "up", shown: "list",
      options: up_choices.map((value) => ({ value, label: up_names[value] })),
    hint: (v) => level_hints[v.standpoint.level.source],
    apply: (v) => {
      v.cut.end(); // its box is upright as the map was
      v.standpoint.orient(true);
    },
  }),
  max_bits_per_s: one_of<number>({
    label: "Bandwidth", default: 0, shown: "list",
      options: [0, 1, 5, 20].map((m) => ({ value: m * 1e6, label: m ? `${m} Mbit/s` : "Unlimited" })),
    apply: (v, value) => v.stream.connection.limit(value),
  }),
  counters: on_off({ label: "Counters", default: true, group: "panels", key: "n", icon: "gauge", bar: "wide",
    apply: (v, on) => v.show_panel("counters", on) }),
  panel: on_off({ label: "View settings", default: true, on_small: false, group: "panels", key: "m", icon: "sliders",
    bar: "always", apply: (v, on) => v.show_panel("panel", on) }),
};
export type setting_name = keyof typeof rows;
export type settings = { [name in setting_name]: (typeof rows)[name]["default"] };
export const setting_names = Object.keys(rows) as setting_name[];

export type any_row = switch_row | choice_row<settings[setting_name]>;
export const row_of = (name: setting_name): any_row => rows[name] as any_row;
export const is_switch = (r: any_row): r is switch_row => !("options" in r);

/// The value that is written so, if it is one that the setting may have: what is stored or stands in an address may be anything.
export function setting_value(name: setting_name, written: unknown): settings[setting_name] | undefined {
  const r = row_of(name);
  return (is_switch(r) ? [false, true] : r.options.map((o) => o.value)).find((value) => String(value) === written);
}

export const default_settings = (): settings =>
  Object.fromEntries(setting_names.map((name) => [name, row_of(name).default])) as unknown as settings;

const place = "tessera.viewer.2";

/// Reads what is stored; anything that is not a known value becomes the default.
export function load_settings(small = false): settings {
  let stored: Record<string, unknown> = {};
  try {
    stored = (JSON.parse(localStorage.getItem(place) ?? "{}") ?? {}) as Record<string, unknown>;
  } catch {
    // A browser that forbids it (private mode) has nothing stored.
  }
  const of = (name: setting_name): unknown => (small ? row_of(name).on_small : undefined)
    ?? setting_value(name, String(stored[name])) ?? row_of(name).default;
  return Object.fromEntries(setting_names.map((name) => [name, of(name)])) as unknown as settings;
}

/// Stores; a browser that forbids it just forgets.
export function save_settings(s: settings): void {
  try {
    localStorage.setItem(place, JSON.stringify(s));
  } catch {
    return;
  }
}
