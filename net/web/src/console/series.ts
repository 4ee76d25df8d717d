// A small line over time with its newest value: the last few minutes at one point a poll.

import { h, style_value } from "../ui/dom";

const points_kept = 240;

export class time_series {
  readonly element: HTMLElement;
  private canvas_ = h("canvas", { set: { "aria-hidden": "true" } });
  private value_ = h("span", { class: "series-value" }, "–");
  private range_ = h("span", { class: "series-range" });
  private points_: number[] = [];

  constructor(
    label: string,
    private readonly words_: (v: number) => string,
  ) {
    this.element = h("div", { class: "series" },
      h("div", { class: "series-head" }, h("span", { class: "series-label" }, label), this.value_), this.canvas_, this.range_);
  }

  add(value: number): void {
    this.points_.push(value);
    if (this.points_.length > points_kept) this.points_.shift();
    this.value_.textContent = this.words_(value);
    this.draw();
  }

  draw(): void {
    const box = this.canvas_.getBoundingClientRect(), ratio = Math.min(2, devicePixelRatio);
    const width = Math.round(box.width * ratio), height = Math.round(box.height * ratio);
    if (!width || !height) return;
    if (this.canvas_.width !== width || this.canvas_.height !== height) {
      this.canvas_.width = width;
      this.canvas_.height = height;
    }
    const c = this.canvas_.getContext("2d");
    if (!c) return;
    c.clearRect(0, 0, width, height);
    const high = Math.max(...this.points_, 1e-9);
    const low = Math.min(...this.points_) > 0.7 * high ? Math.min(...this.points_) - 0.05 * high : 0;
    this.range_.textContent = `max ${this.words_(Math.max(...this.points_))}`;
    const x = (i: number): number => width - (this.points_.length - 1 - i) * (width / (points_kept / 2 - 1));
    const y = (v: number): number => height - 2 * ratio - ((v - low) / (high - low || 1)) * (height - 5 * ratio);
    c.beginPath();
    this.points_.forEach((v, i) => (i ? c.lineTo(x(i), y(v)) : c.moveTo(x(i), y(v))));
    c.strokeStyle = style_value("--accent");
    c.lineWidth = 1.5 * ratio;
    c.lineJoin = "round";
    c.stroke();
    c.lineTo(x(this.points_.length - 1), height);
    c.lineTo(x(0), height);
    c.closePath();
    const fill = c.createLinearGradient(0, 0, 0, height);
    fill.addColorStop(0, style_value("--accent-mist"));
    fill.addColorStop(1, "rgb(127 220 198 / 0)");
    c.fillStyle = fill;
    c.fill();
  }
}
