// What the colours on screen mean, for the shadings whose colours are not the surface's own.

import { axis_along, type quaternion, type vector } from "../scene/orientation";
import type { shading } from "./settings";
import { age_colours, height_colours, oldest_s } from "../scene/surface_material";
import { h, length_text } from "./dom";

type mark = readonly [percent: number, label: string];

const ramp = (colours: string[], marks: readonly mark[]): HTMLElement =>
  h("div", { class: "scale" },
    h("div", { class: "ramp", set: { style: `background: linear-gradient(90deg, ${colours.join(", ")})` } }),
    ...marks.map(([at, label]) => h("span", { class: "mark", set: { style: `left: ${at}%` } }, label)));

function age_scale(): HTMLElement {
  const at = (s: number): number => (100 * Math.log2(1 + s)) / Math.log2(1 + oldest_s);
  return ramp(age_colours, ([[0, "now"], [2, "2 s"], [10, "10 s"], [40, "40 s"], [oldest_s, `${oldest_s / 60} min`]] as const)
    .map(([s, label]) => [at(s), label]));
}

/// Colours of the six directions, as the shader makes them of a normal. It has those of the upright picture; the map's axes are
/// not those, and those along the ground are named if they lie there.
function directions(level: legend_facts["level"]): HTMLElement {
  const of = (x: number, y: number, z: number): string =>
    `rgb(${[x, y, z].map((v) => Math.round(255 * (0.5 + 0.5 * v))).join(" ")})`;
  const one = (label: string, colour: string): HTMLElement =>
    h("span", { class: "swatch" }, h("i", { set: { style: `background: ${colour}` } }), label);
  return h("div", { class: "swatches" },
    one("up", of(0, 1, 0)), one("down", of(0, -1, 0)), ...level_directions.map((d, i) => one(level[i], of(...d))));
}

/// The four of the picture that lie along the ground.
export const level_directions: vector[] = [[1, 0, 0], [-1, 0, 0], [0, 0, 1], [0, 0, -1]];

/// What they are called: the map's axes, or the picture's own where none fits.
export function level_names(upright: quaternion): string[] {
  return level_directions.map((d, i) => (axis_along(upright, d)
    ?? ["+x of the picture", "-x of the picture", "+z of the picture", "-z of the picture"][i]).replace("-", "−"));
}

export interface legend_facts {
  /// What level_directions are called.
  level: string[];
  /// Heights of the first and the last colour above the lowest point, metres.
  heights: [number, number];
  /// Edge of a region, metres and voxels.
  region_m: number;
  region_voxels: number;
  regions: number;
}

export class legend {
  readonly element = h("div", { class: "panel legend hidden", set: { role: "note" } });
  private shown_ = "";

  show(mode: shading, facts: legend_facts): void {
    const of_mode = mode === "height" ? facts.heights.map((v) => v.toPrecision(3)).join()
      : mode === "region" ? `${facts.region_m}/${facts.regions}` : mode === "normals" ? facts.level.join() : "";
    const key = `${mode}|${of_mode}`;
    if (key === this.shown_) return;
    this.shown_ = key;
    const content = this.content_(mode, facts);
    this.element.classList.toggle("hidden", !content);
    if (content) this.element.replaceChildren(h("span", { class: "legend-title" }, content[0]), content[1]);
  }

  private content_(mode: shading, f: legend_facts): [string, HTMLElement] | undefined {
    if (mode === "age") return ["Last update", age_scale()];
    if (mode === "normals") return ["Surface faces", directions(f.level)];
    if (mode === "height") {
      const [low, high] = f.heights;
      const [unit, name] = high < 1 ? [100, "cm"] : [1, "m"], digits = unit * high < 20 ? 1 : 0;
      const at = (p: number): string => (unit * (low + ((high - low) * p) / 100)).toFixed(digits);
      return ["Height", ramp(height_colours, [0, 25, 50, 75, 100].map((p): mark => [p, p === 100 ? `${at(p)} ${name}` : at(p)]))];
    }
    if (mode === "region")
      return ["Regions", h("span", { class: "legend-words" },
        `each colour is one of ${f.regions} cubes of ${f.region_voxels} voxels, ${length_text(f.region_m)} wide; point at one ` +
        `to name it`)];
    return undefined;
  }
}
