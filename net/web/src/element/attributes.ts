// What the attributes of <tessera-view> mean. Pure functions.

import { type service_address, service_address_of } from "../stream/connection";
import { default_settings, is_switch, row_of, type setting_name, setting_names, setting_value,
  type settings } from "../ui/settings";
import { read_view_link, type view_link } from "../ui/view_link";

export type attributes = Partial<Record<"src" | "token" | "view" | "shading" | "up" | "show", string | undefined>>;

/// Where the service is: `src`, seen from the page at `base`, may be its address or that of one of its pages, with or without a
/// slash at the end. Throws an Error that says what is wrong.
export function address_of(a: attributes, base: string): service_address {
  if (!a.src) throw new Error("src is missing: give the address of the service");
  const url = URL.canParse(a.src, base) ? new URL(a.src, base) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) throw new Error(`src is "${a.src}", which is no http:// or https:// address`);
  if (!/\/$|\.html$|\/console$/.test(url.pathname)) url.pathname += "/";
  if (a.token) url.searchParams.set("token", a.token);
  return service_address_of(url);
}

const shown = setting_names.filter((name) => {
  const r = row_of(name);
  return is_switch(r) && r.group === "show";
});

/// The settings that an attribute is for.
export const governed_by = (name: "shading" | "up" | "show"): readonly setting_name[] => (name === "show" ? shown : [name]);

/// The settings that attributes name; a value that is none is left out.
export function settings_of(a: attributes): Partial<settings> {
  const named = [["shading", setting_value("shading", a.shading)], ["up", setting_value("up", a.up)]] as const;
  const out: Partial<settings> = Object.fromEntries(named.filter(([, value]) => value !== undefined));
  if (a.show === undefined) return out;
  const words = new Set<string>(a.show.split(/[\s,]+/));
  return { ...out, ...Object.fromEntries(shown.map((name) => [name, words.has(name)])) };
}

/// The view that `view` wants, or else `src` behind its #: an empty `view` is none. Where an attribute names a setting, that one
/// holds.
export function link_of(a: attributes): view_link {
  const text = a.view || (/#(.*)$/s.exec(a.src ?? "")?.[1] ?? "");
  const link = read_view_link(text), named = settings_of(a);
  const left = Object.entries(link.settings).filter(([name]) => named[name as setting_name] === undefined);
  return { ...link, settings: Object.fromEntries(left) };
}

/// All settings: where no attribute names one, it is as the view says, or else the default.
export const all_settings_of = (a: attributes): settings =>
  ({ ...default_settings(), ...link_of(a).settings, ...settings_of(a) });
