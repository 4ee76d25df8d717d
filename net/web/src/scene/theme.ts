// The colours of the picture, from the style sheet around it, so that light and dark are decided in one place.

import { Color } from "three";
import { style_value } from "../ui/dom";

/// Finds a colour by its name in the style sheet: sRGB, 0 to 1, as it stands there.
export type palette = (name: string) => Color;

/// The palette at an element, where the names are custom properties that hold #rrggbb.
export const palette_at = (at: Element): palette => (name) =>
  new Color().setStyle(style_value(name, at) || "#808080").convertLinearToSRGB();

/// Calls back when the user's system turns light or dark.
export const on_theme = (changed: () => void, signal: AbortSignal): void =>
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", changed, { signal });
