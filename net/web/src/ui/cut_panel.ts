// The cut: a box, each side of which is moved by a handle. Upright frame, metres.

import { h, icon, icons, length_text } from "./dom";

export type box = [low: [number, number, number], high: [number, number, number]];

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
  private whole_: box = [[0, 0, 0], [1, 1, 1]];
  private cut_: box = [[0, 0, 0], [1, 1, 1]];
  private rows_ = new Map<number, row>();

  constructor(changed: (cut: box) => void, close: () => void) {
    const lines = axes.map(([label, axis]) => {
      const handle = (side: 0 | 1): HTMLInputElement =>
        h("input", { set: { type: "range", min: "0", max: String(steps), step: "1", "aria-label": `${label}, ${side ? "upper" : "lower"} end` }, on: { input: () => {
          this.take_(axis, side);
          changed(this.cut_);
        } } });
      const r: row = { low: handle(0), high: handle(1), words: h("span", { class: "cut-words" }), band: h("i", { class: "band" }) };
      this.rows_.set(axis, r);
      return h("div", { class: "cut-row" }, h("span", { class: "cut-label" }, label), r.words, h("div", { class: "double" }, r.band, r.low, r.high));
    });
    const preset = (label: string, make: (whole: box) => box): HTMLButtonElement =>
      h("button", { class: "button", set: { type: "button" }, on: { click: () => {
        this.show(this.whole_, make(this.whole_));
        changed(this.cut_);
      } } }, label);
    this.element = h(
      "section",
      { class: "panel cut-panel hidden", set: { "aria-label": "Cut" } },
      h("header", {}, h("h2", {}, "Cut"), h("button", { class: "ghost", title: "Show everything again", set: { type: "button", "aria-label": "Show everything again" }, on: { click: close } }, icon(icons.close))),
      ...lines,
      h("div", { class: "pair" },
        preset("No ceiling", ([low, high]) => [low, [high[0], low[1] + 0.72 * (high[1] - low[1]), high[2]]]),
        preset("Whole", (whole) => whole)),
    );
  }

  show(whole: box, cut: box): void {
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
