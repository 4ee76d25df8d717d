// Points and distances that the user marked, drawn over the picture: lines, dots and words that always face the eye.

import type { Vector3 } from "three";

export interface mark_line {
  from: Vector3;
  to: Vector3;
  label: string;
}

type place = { x: number; y: number };
type projection = (v: Vector3) => place | undefined;

const ns = "http://www.w3.org/2000/svg";
function svg<K extends keyof SVGElementTagNameMap>(tag: K, attributes: Record<string, string | number>,
  text = ""): SVGElementTagNameMap[K] {
  const e = document.createElementNS(ns, tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, String(value));
  if (text) e.textContent = text;
  return e;
}

export class marks_overlay {
  readonly element = svg("svg", { class: "marks", "aria-hidden": "true" });
  points: Vector3[] = [];
  lines: mark_line[] = [];

  /// Draws anew; call it after every change of view or marks.
  draw(project: projection): void {
    if (!this.points.length && !this.lines.length) {
      if (this.element.childElementCount) this.element.replaceChildren();
      return;
    }
    const parts: SVGElement[] = [];
    for (const l of this.lines) {
      const a = project(l.from), b = project(l.to);
      if (!a || !b) continue;
      const ends = { x1: a.x, y1: a.y, x2: b.x, y2: b.y };
      parts.push(svg("line", { ...ends, class: "halo" }), svg("line", { ...ends, class: "stroke" }));
      const middle = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 - 10 };
      const wide = 7.4 * l.label.length + 16;
      parts.push(svg("rect", { x: middle.x - wide / 2, y: middle.y - 12, width: wide, height: 22, rx: 6 }),
        svg("text", { x: middle.x, y: middle.y + 3.5 }, l.label));
    }
    for (const p of this.points) {
      const at = project(p);
      if (at) parts.push(svg("circle", { cx: at.x, cy: at.y, r: 6.5, class: "halo" }),
        svg("circle", { cx: at.x, cy: at.y, r: 4, class: "dot-mark" }));
    }
    this.element.replaceChildren(...parts);
  }

  /// The same on a picture of `scale` pixels for each pixel of the page.
  paint(to: CanvasRenderingContext2D, scale: number, project: projection, colour: string): void {
    to.save();
    to.scale(scale, scale);
    for (const l of this.lines) {
      const a = project(l.from), b = project(l.to);
      if (!a || !b) continue;
      for (const [width, style] of [[5, "rgb(0 0 0 / 0.55)"], [2, colour]] as const) {
        to.beginPath();
        to.moveTo(a.x, a.y);
        to.lineTo(b.x, b.y);
        to.lineWidth = width;
        to.strokeStyle = style;
        to.stroke();
      }
      to.font = "600 13px system-ui, sans-serif";
      to.textAlign = "center";
      to.lineWidth = 4;
      to.strokeStyle = "rgb(0 0 0 / 0.75)";
      to.strokeText(l.label, (a.x + b.x) / 2, (a.y + b.y) / 2 - 8);
      to.fillStyle = "#fff";
      to.fillText(l.label, (a.x + b.x) / 2, (a.y + b.y) / 2 - 8);
    }
    for (const p of this.points) {
      const at = project(p);
      if (!at) continue;
      to.beginPath();
      to.arc(at.x, at.y, 5, 0, 2 * Math.PI);
      to.fillStyle = colour;
      to.fill();
    }
    to.restore();
  }
}
