// The colours of the picture, from the page's style sheet, so that light and dark are decided in one place.

import { Color } from "three";

const light = matchMedia("(prefers-color-scheme: light)");

/// A colour of the style sheet (a custom property holding #rrggbb), as it stands there: sRGB, 0 to 1.
export function style_colour(name: string): Color {
  const value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return new Color().setStyle(value || "#808080").convertLinearToSRGB();
}

/// Calls back when the user's system turns light or dark.
export const on_theme = (changed: () => void): void => light.addEventListener("change", changed);
