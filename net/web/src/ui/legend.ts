// What the colours of the age shading mean.

import { age_colours, oldest_s } from "../surface_material";
import { h } from "./dom";

export function age_legend(): HTMLElement {
  const at = (s: number): string => `${(100 * Math.log2(1 + s)) / Math.log2(1 + oldest_s)}%`;
  const marks = [[0, "now"], [2, "2 s"], [10, "10 s"], [40, "40 s"], [oldest_s, `${oldest_s / 60} min`]] as const;
  return h(
    "div",
    { class: "panel legend", set: { "aria-label": "Age of the last update" } },
    h("span", { class: "legend-title" }, "Last update"),
    h("div", { class: "scale" },
      h("div", { class: "ramp", set: { style: `background: linear-gradient(90deg, ${age_colours.join(", ")})` } }),
      ...marks.map(([s, label]) => h("span", { class: "mark", set: { style: `left: ${at(s)}` } }, label)),
    ),
  );
}
