// The bar of things to do: fit, follow, orbit or fly, panels, help, console.

import { h, icon, icons } from "./dom";

export type tool = "fit" | "follow" | "travel" | "counters" | "panel" | "help";

export class toolbar {
  readonly element: HTMLElement;
  private buttons_ = new Map<tool, HTMLButtonElement>();

  constructor(use: (t: tool) => void, console_address: string) {
    const button = (t: tool, path: string, label: string, key: string): HTMLButtonElement => {
      const b = h("button", { class: "tool", title: `${label} (${key})`, set: { type: "button", "aria-label": label }, on: { click: () => use(t) } }, icon(path));
      this.buttons_.set(t, b);
      return b;
    };
    const link = h("a", { class: "tool", title: "Console: what every actor does", set: { href: console_address, "aria-label": "Console" } }, icon(icons.console));
    this.element = h(
      "nav",
      { class: "panel toolbar", set: { "aria-label": "Tools" } },
      button("fit", icons.fit, "Fit to view", "F"),
      button("follow", icons.follow, "Follow the camera", "C"),
      button("travel", icons.fly, "Fly", "V"),
      h("span", { class: "rule" }),
      button("counters", icons.gauge, "Counters", "N"),
      button("panel", icons.sliders, "View settings", "M"),
      button("help", icons.help, "Help", "?"),
      link,
    );
  }

  press(t: tool, on: boolean): void {
    this.buttons_.get(t)?.setAttribute("aria-pressed", String(on));
  }
}
