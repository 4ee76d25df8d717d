// Regions from one side, each cell coloured by a chosen quantity, summed along the direction of sight.

import { brief, bytes_text, h, seconds_text, style_value, whole } from "../ui/dom";
import type { region_status } from "./api";

interface quantity {
  label: string;
  of: (r: region_status) => number;
  words: (v: number) => string;
  /// How regions behind one another are put together.
  join: "sum" | "max" | "min";
}

const quantities: Record<string, quantity> = {
  triangles: { label: "Triangles", of: (r) => r.triangles, words: whole, join: "sum" },
  voxels: { label: "Voxels", of: (r) => r.voxels, words: whole, join: "sum" },
  blocks: { label: "Blocks", of: (r) => r.blocks, words: whole, join: "sum" },
  bytes: { label: "Field memory", of: (r) => r.bytes, words: bytes_text, join: "sum" },
  patch_bytes: { label: "Patch size", of: (r) => r.patch_bytes, words: bytes_text, join: "sum" },
  bytes_per_triangle: { label: "Patch bytes per triangle", of: (r) => (r.triangles ? r.patch_bytes / r.triangles : 0),
    words: (v) => v.toFixed(2), join: "max" },
  version: { label: "Version", of: (r) => r.version, words: brief, join: "max" },
  behind: { label: "Behind newest keyframe", of: () => 0, words: seconds_text, join: "min" },
  device: { label: "Device", of: (r) => r.device, words: String, join: "max" },
};

const ramp = [[24, 34, 48], [31, 74, 84], [52, 128, 122], [127, 200, 160], [246, 226, 150]];

function ramp_colour(t: number): string {
  const at = Math.min(0.9999, Math.max(0, t)) * (ramp.length - 1), i = Math.floor(at), f = at - i;
  return `rgb(${[0, 1, 2].map((c) => Math.round(ramp[i][c] + (ramp[i + 1][c] - ramp[i][c]) * f)).join(" ")})`;
}

interface cell {
  u: number;
  v: number;
  value: number;
  regions: region_status[];
}

export class heat_map {
  readonly element: HTMLElement;
  private canvas_ = h("canvas", { set: { role: "img", "aria-label": "Regions seen from one side" } });
  private tip_ = h("div", { class: "tip hidden" });
  private scale_ = h("div", { class: "heat-scale" });
  private quantity_: HTMLSelectElement;
  private side_: HTMLSelectElement;
  private regions_: region_status[] = [];
  private cells_: cell[] = [];
  private shape_ = { left: 0, top: 0, size: 1 };

  constructor() {
    this.quantity_ = h("select", { set: { "aria-label": "Quantity" }, on: { change: () => this.draw() } },
      ...Object.entries(quantities).map(([value, q]) => h("option", { set: { value } }, q.label)));
    this.side_ = h("select", { set: { "aria-label": "Side" }, on: { change: () => this.draw() } },
      ...["auto", "xz", "xy", "zy"].map((value) =>
      h("option", { set: { value } }, value === "auto" ? "Widest side" : `${value.toUpperCase()} plane`)));
    this.canvas_.addEventListener("pointermove", (e) => this.point_(e));
    this.canvas_.addEventListener("pointerleave", () => this.tip_.classList.add("hidden"));
    new ResizeObserver(() => this.draw()).observe(this.canvas_);
    this.element = h("section", { class: "card heat" },
      h("header", {}, h("h2", {}, "Regions"), h("div", { class: "choices" }, this.quantity_, this.side_)),
      h("div", { class: "heat-field" }, this.canvas_, this.tip_), this.scale_);
  }

  update(regions: region_status[]): void {
    this.regions_ = regions;
    this.draw();
  }

  draw(): void {
    const box = this.canvas_.getBoundingClientRect(), ratio = Math.min(2, devicePixelRatio);
    this.canvas_.width = Math.max(1, Math.round(box.width * ratio));
    this.canvas_.height = Math.max(1, Math.round(box.height * ratio));
    const c = this.canvas_.getContext("2d");
    if (!c) return;
    c.scale(ratio, ratio);
    const q = quantities[this.quantity_.value];
    this.cells_ = this.gather_(q);
    if (!this.cells_.length) {
      c.fillStyle = style_value("--faint");
      c.font = "13px system-ui, sans-serif";
      c.textAlign = "center";
      c.fillText("No regions yet", box.width / 2, box.height / 2);
      this.scale_.textContent = "";
      return;
    }
    const us = this.cells_.map((k) => k.u), vs = this.cells_.map((k) => k.v), values = this.cells_.map((k) => k.value);
    const low_u = Math.min(...us), low_v = Math.min(...vs), wide = Math.max(...us) - low_u + 1,
      tall = Math.max(...vs) - low_v + 1;
    const size = Math.max(2, Math.min(64, (box.width - 8) / wide, (box.height - 8) / tall));
    this.shape_ = { left: (box.width - size * wide) / 2 - low_u * size, top: (box.height - size * tall) / 2 - low_v * size,
      size };
    const high = Math.max(...values), low = Math.min(0, ...values);
    const gap = size > 8 ? 1.5 : 0.25;
    for (const k of this.cells_) {
      c.fillStyle = ramp_colour(high > low ? 0.08 + 0.92 * ((k.value - low) / (high - low)) : 0.2);
      c.beginPath();
      c.roundRect(this.shape_.left + k.u * size + gap / 2, this.shape_.top + k.v * size + gap / 2, size - gap, size - gap,
        Math.min(4, size / 6));
      c.fill();
    }
    this.scale_.replaceChildren(h("span", {}, q.words(low)),
      h("i", { set: { style: `background: linear-gradient(90deg, ${[0.08, 0.3, 0.55, 0.8, 1].map(ramp_colour).join(", ")})` } }),
      h("span", {}, q.words(high)));
  }

  private gather_(q: quantity): cell[] {
    const newest = Math.max(0, ...this.regions_.map((r) => r.keyframe_s));
    const value = (r: region_status): number => (q === quantities["behind"] ? newest - r.keyframe_s : q.of(r));
    const span = (axis: number): number => (this.regions_.length
      ? Math.max(...this.regions_.map((r) => r.region[axis])) - Math.min(...this.regions_.map((r) => r.region[axis])) : 0);
    const side = this.side_.value === "auto"
      ? (span(1) <= Math.min(span(0), span(2)) ? "xz" : span(2) <= Math.min(span(0), span(1)) ? "xy" : "zy") : this.side_.value;
    const [a, b] = [..."xyz"].map((_, i) => i).filter((i) => side.includes("xyz"[i]));
    const [u, v] = side === "zy" ? [b, a] : [a, b];
    const cells = new Map<string, cell>();
    for (const r of this.regions_) {
      const key = `${r.region[u]},${r.region[v]}`, k = cells.get(key), x = value(r);
      if (!k) cells.set(key, { u: r.region[u], v: r.region[v], value: x, regions: [r] });
      else {
        k.regions.push(r);
        k.value = q.join === "sum" ? k.value + x : q.join === "max" ? Math.max(k.value, x) : Math.min(k.value, x);
      }
    }
    return [...cells.values()];
  }

  private point_(e: PointerEvent): void {
    const box = this.canvas_.getBoundingClientRect(), { left, top, size } = this.shape_;
    const x = e.clientX - box.left, y = e.clientY - box.top;
    const u = Math.floor((x - left) / size), v = Math.floor((y - top) / size);
    const k = this.cells_.find((one) => one.u === u && one.v === v);
    this.tip_.classList.toggle("hidden", !k);
    if (!k) return;
    const q = quantities[this.quantity_.value];
    const sum = (f: (r: region_status) => number): number => k.regions.reduce((n, r) => n + f(r), 0);
    this.tip_.replaceChildren(
      h("b", {}, k.regions.length === 1 ? `Region ${k.regions[0].region.join(", ")}` : `${k.regions.length} regions`),
      h("span", {}, `${q.label}: ${q.words(k.value)}`),
      h("span", {},
        `${whole(sum((r) => r.triangles))} triangles · ${bytes_text(sum((r) => r.bytes))} field · ` +
        `${bytes_text(sum((r) => r.patch_bytes))} patch`),
    );
    this.tip_.style.left = `${Math.min(Math.max(x, 110), box.width - 110)}px`;
    this.tip_.style.top = `${y > box.height / 2 ? y - 78 : y + 16}px`;
  }
}
