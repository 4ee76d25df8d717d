// The bar of things to do, made from the list of actions.

import { type action, type action_list, key_name } from "./actions";
import { h, icon, icons } from "./dom";

export class toolbar {
  readonly element: HTMLElement;
  private buttons_: [action, HTMLButtonElement][] = [];

  constructor(actions: action_list, console_address: string) {
    const button = (a: action): HTMLButtonElement => {
      const b = h(
        "button",
        {
          class: a.bar === "wide" ? "tool only-wide" : "tool", title: a.key ? `${a.label} (${key_name(a.key)})` : a.label,
          set: { type: "button", "aria-label": a.label, "data-action": a.name }, on: { click: () => actions.run(a.name) },
        },
        icon(icons[a.icon ?? "help"]),
      );
      this.buttons_.push([a, b]);
      return b;
    };
    const group = (...names: Parameters<action_list["in"]>[0][]): HTMLButtonElement[] =>
      names.flatMap((g) => actions.in(g)).filter((a) => a.bar).map(button);
    const rule = (): HTMLElement => h("span", { class: "rule only-wide" });
    const link = h("a", { class: "tool only-wide", title: "Console: what every actor does",
      set: { href: console_address, "aria-label": "Console" } }, icon(icons.console));
    this.element = h("nav", { class: "panel toolbar", set: { "aria-label": "Tools" } }, ...group("move"), rule(),
      ...group("tools"), rule(), ...group("file"), rule(), ...group("panels"), link);
    this.show();
  }

  /// Brings the buttons in line with what is on.
  show(): void {
    for (const [a, b] of this.buttons_) if (a.on) b.setAttribute("aria-pressed", String(a.on()));
  }
}
