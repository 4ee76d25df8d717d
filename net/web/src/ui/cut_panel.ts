// The cut: a box, each side of which is moved by a handle. Upright frame, metres.

import type { corners, map_cut } from "../scene/cut";
import { h, icon, icons, length_text } from "./dom";

const steps = 500;
const axes = [["Height", 1], ["X", 0], ["Z", 2]] as const;

interface row {
  low: HTMLInputElement;
  high: HTMLInputElement;
  words: HTMLElement;
  band: HTMLElement;
}

export class cut_panel {
  readonly element: HTMLElement;
  /// What there is to cut; the handles go from end to end of it.
  private whole_: corners = [[0, 0, 0], [1, 1, 1]];
  private cut_: corners = [[0, 0, 0], [1, 1, 1]];
  private rows_ = new Map<number, row>();
  private holding_ = false;

  /// `close`: the user wants everything shown again.
  constructor(private readonly on_: map_cut, close: () => void) {
    const changed = (): void => {
      this.holding_ = true;
      on_.take(this.cut_);
      this.holding_ = false;
    };
    const lines = axes.map(([label, axis]) => {
      const handle = (side: 0 | 1): HTMLInputElement =>
        h("input", { set: { type: "range", min: "0", max: String(steps), step: "1",
          "aria-label": `${label}, ${side ? "upper" : "lower"} end` }, on: { input: () => {
          this.take_(axis, side);
          changed();
        } } });
      const r: row = { low: handle(0), high: handle(1), words: h("span", { class: "cut-words" }),
        band: h("i", { class: "band" }) };
      this.rows_.set(axis, r);
      return h("div", { class: "cut-row" }, h("span", { class: "cut-label" }, label), r.words,
        h("div", { class: "double" }, r.band, r.low, r.high));
    });
    const preset = (label: string, make: (whole: corners) => corners): HTMLButtonElement =>
      h("button", { class: "button", set: { type: "button" }, on: { click: () => {
        this.show_(this.whole_, make(this.whole_));
        changed();
      } } }, label);
    this.element = h(
      "section",
      { class: "panel cut-panel hidden", set: { "aria-label": "Cut" } },
      h("header", {}, h("h2", {}, "Cut"), h("button",
        { class: "ghost", title: "Show everything again", set: { type: "button", "aria-label": "Show everything again" },
          on: { click: close } }, icon(icons.close))),
      ...lines,
      h("div", { class: "pair" },
        preset("No ceiling", ([low, high]) => [low, [high[0], low[1] + 0.72 * (high[1] - low[1]), high[2]]]),
        preset("Whole", (whole) => whole)),
    );
  }

  /// Brings the handles in line with the cut, unless it is they that make it.
  show(): void {
    const cut = this.on_.corners;
    this.element.classList.toggle("hidden", !cut);
    this.element.parentElement?.classList.toggle("cutting", cut !== undefined);
    if (cut && !this.holding_) this.show_(this.on_.whole, cut);
  }

  /// The map changed: the handles go from end to end of what there is now, unless one is being held.
  grown(): void {
    if (this.on_.on && !this.element.contains(document.activeElement)) this.show();
  }

  private show_(whole: corners, cut: corners): void {
    this.whole_ = whole;
    this.cut_ = [[...cut[0]], [...cut[1]]];
    for (const [, axis] of axes) {
      const r = this.rows_.get(axis)!, low = whole[0][axis], size = whole[1][axis] - low || 1;
      r.low.value = String(Math.round(((cut[0][axis] - low) / size) * steps));
      r.high.value = String(Math.round(((cut[1][axis] - low) / size) * steps));
      this.tell_(axis);
    }
  }

  private take_(axis: number, side: 0 | 1): void {
    const r = this.rows_.get(axis)!;
    let low = Number(r.low.value), high = Number(r.high.value);
    if (high - low < 2) {
      if (side) low = high - 2;
      else high = low + 2;
      r.low.value = String(low);
      r.high.value = String(high);
    }
    const start = this.whole_[0][axis], size = this.whole_[1][axis] - start || 1;
    this.cut_[0][axis] = start + (Math.max(0, low) / steps) * size;
    this.cut_[1][axis] = start + (Math.min(steps, high) / steps) * size;
    this.tell_(axis);
  }

  private tell_(axis: number): void {
    const r = this.rows_.get(axis)!, low = Number(r.low.value) / steps, high = Number(r.high.value) / steps;
    r.band.style.left = `${100 * low}%`;
    r.band.style.right = `${100 * (1 - high)}%`;
    const size = this.whole_[1][axis] - this.whole_[0][axis];
    r.words.textContent = `${length_text(low * size)} – ${length_text(high * size)}`;
  }
}
