// A plane of the field as the service draws it: an axis, a place on it, and what of the voxels is shown.

import type { service_address } from "../stream/connection";
import { h, length_text } from "../ui/dom";
import { reason_of, type map_status } from "./api";

const axes = ["x", "y", "z"];

export interface slice_choice {
  axis: number;
  at_m: number;
  show: string;
  /// Pixels across that there are for the whole picture.
  width: number;
  dark: boolean;
}

/// What to ask the service for: the same part of the plane wherever it is, so that the picture keeps still while it moves. A
/// pixel a voxel at least, if that is not too much: the page makes the picture smaller without loss, the service only by whole
/// numbers.
export function slice_path(choice: slice_choice, bounds: number[], voxel_m: number): string {
  const along = [0, 1, 2].filter((i) => i !== choice.axis);
  const panels = choice.show === "all" ? 3 : 1;
  const voxels = Math.max(...along.map((i) => bounds[i + 3] - bounds[i])) / voxel_m + 2;
  const size = Math.round(Math.min(1024, Math.max(100, choice.width / panels - 80, voxels)));
  const area = along.flatMap((i) => [bounds[i], bounds[i + 3]]).map((m) => m.toFixed(3));
  const query = new URLSearchParams({ axis: axes[choice.axis], at: choice.at_m.toFixed(4), show: choice.show,
    area: area.join(","), size: String(size), theme: choice.dark ? "dark" : "light" });
  return `/v1/slices?${query}`;
}

export class slice_panel {
  readonly element: HTMLElement;
  private axis_ = h("select", { set: { "aria-label": "Axis" }, on: { change: () => this.choose_axis_() } },
    ...axes.map((name, i) => h("option", { set: { value: String(i) } }, `Across ${name}`)));
  private show_ = h("select", { set: { "aria-label": "Shown" }, on: { change: () => void this.load_() } },
    ...[["distance", "Distance"], ["weight", "Weight"], ["colour", "Colour"],
      ["all", "All three"]].map(([value, label]) => h("option", { set: { value } }, label)));
  private place_ = h("input", { class: "slice-place", set: { type: "range", "aria-label": "Place on the axis" },
    on: { input: () => void this.load_() } });
  private label_ = h("output", { class: "slice-at" }, "–");
  private image_ = h("img", { class: "slice-picture hidden", set: { alt: "The field along a plane" } });
  private words_ = h("p", { class: "nothing" }, "No regions yet");
  private map_: map_status | undefined;
  private asking_ = false;
  private again_ = false;

  constructor(private readonly address_: service_address) {
    this.axis_.value = "2";
    const refresh = h("button", { class: "button", title: "Draw it as the map is now", set: { type: "button" },
      on: { click: () => void this.load_() } }, "Refresh");
    this.element = h(
      "section",
      { class: "card slice", set: { "aria-label": "Slice" } },
      h("header", {}, h("h2", {}, "Slice"), h("span", { class: "hint" }, "the field's voxels in a plane"),
        h("div", { class: "choices" }, this.axis_, this.place_, this.label_, this.show_, refresh)),
      this.words_, this.image_,
    );
  }

  update(map: map_status): void {
    const known = this.map_ !== undefined && this.map_.epoch === map.epoch;
    if (map.bounds.length !== 6 || !map.regions) return;
    this.map_ = map;
    this.range_();
    if (known) return;
    this.choose_axis_(); // the first of a map; from then on only what is asked for
  }

  private axis(): number {
    return Number(this.axis_.value);
  }

  private range_(): void {
    const m = this.map_!;
    this.place_.min = String(m.bounds[this.axis()]);
    this.place_.max = String(m.bounds[this.axis() + 3]);
    this.place_.step = String(m.voxel_m);
  }

  private choose_axis_(): void {
    if (!this.map_) return;
    this.range_();
    this.place_.value = String((this.map_.bounds[this.axis()] + this.map_.bounds[this.axis() + 3]) / 2);
    void this.load_();
  }

  private async load_(): Promise<void> {
    if (!this.map_) return;
    const at_m = Number(this.place_.value);
    this.label_.textContent = length_text(at_m);
    this.again_ = this.asking_;
    if (this.asking_) return;
    this.asking_ = true;
    try {
      const width = (this.element.clientWidth - 32) * Math.min(2, devicePixelRatio);
      const choice = { axis: this.axis(), at_m, show: this.show_.value, width,
        dark: matchMedia("(prefers-color-scheme: dark)").matches };
      const headers: Record<string, string> = this.address_.token ? { authorization: `Bearer ${this.address_.token}` } : {};
      const response = await fetch(this.address_.http + slice_path(choice, this.map_.bounds, this.map_.voxel_m),
        { headers, cache: "no-store", signal: AbortSignal.timeout(30_000) });
      if (response.ok) this.put_(await response.blob());
      else this.say_(reason_of(await response.text()) || `the service answered HTTP ${response.status}`);
    } catch {
      this.say_("the service did not answer");
    } finally {
      this.asking_ = false;
    }
    if (this.again_) void this.load_(); // the slider has moved meanwhile
  }

  private put_(picture: Blob): void {
    URL.revokeObjectURL(this.image_.src);
    this.image_.src = URL.createObjectURL(picture);
    this.image_.classList.remove("hidden");
    this.words_.classList.add("hidden");
  }

  private say_(why: string): void {
    this.words_.textContent = why.charAt(0).toUpperCase() + why.slice(1);
    this.words_.classList.remove("hidden");
    this.image_.classList.add("hidden");
  }
}
