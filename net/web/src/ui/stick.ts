// A stick and two buttons to fly with on a touch screen; dragging anywhere else looks around.

import type { push } from "../scene/controls";
import { h } from "./dom";

const reach_px = 40;

export class stick {
  readonly element: HTMLElement;

  constructor(moved: (p: push) => void) {
    const state: push = { ahead: 0, aside: 0, rise: 0 };
    const knob = h("i", { class: "knob" });
    const pad = h("div", { class: "pad", set: { "aria-label": "Move: push ahead, back or sideways", role: "application" } },
      knob);
    let from: { x: number; y: number } | undefined;
    const move = (x: number, y: number): void => {
      const far = Math.max(1, Math.hypot(x, y) / reach_px);
      knob.style.transform = `translate(${x / far}px, ${y / far}px)`;
      state.aside = x / far / reach_px;
      state.ahead = -y / far / reach_px;
      moved(state);
    };
    pad.addEventListener("pointerdown", (e) => {
      pad.setPointerCapture(e.pointerId);
      const box = pad.getBoundingClientRect();
      from = { x: box.left + box.width / 2, y: box.top + box.height / 2 };
      move(e.clientX - from.x, e.clientY - from.y);
    });
    pad.addEventListener("pointermove", (e) => from && move(e.clientX - from.x, e.clientY - from.y));
    for (const name of ["pointerup", "pointercancel"] as const)
      pad.addEventListener(name, () => {
        from = undefined;
        move(0, 0);
      });
    const lift = (label: string, sign: -1 | 1, words: string): HTMLButtonElement => {
      const set = (rise: number) => (): void => {
        state.rise = rise;
        moved(state);
      };
      return h("button", { class: "lift", set: { type: "button", "aria-label": words },
        on: { pointerdown: set(sign), pointerup: set(0), pointercancel: set(0), pointerleave: set(0),
          contextmenu: (e) => e.preventDefault() } }, label);
    };
    this.element = h("div", { class: "stick hidden" }, pad,
      h("div", { class: "lifts" }, lift("▲", 1, "Rise"), lift("▼", -1, "Sink")));
  }
}
