// The colours of the picture, from the page's style sheet, so that light and dark are decided in one place.

import { Color } from "three";
import { style_value } from "../ui/dom";

const light = matchMedia("(prefers-color-scheme: light)");

/// A colour of the style sheet (a custom property holding #rrggbb), as it stands there: sRGB, 0 to 1.
export function style_colour(name: string): Color {
  return new Color().setStyle(style_value(name) || "#808080").convertLinearToSRGB();
}

/// Calls back when the user's system turns light or dark.
export const on_theme = (changed: () => void): void => light.addEventListener("change", changed);
