// A card about what was picked: a title, lines of facts, things to do with it.

import { h, icon, type icon_name, icons } from "./dom";

export interface card_content {
  title: string;
  /// A sentence instead of facts, or before them.
  words?: string;
  facts?: [label: string, value: string][];
  todo?: { label: string; icon?: icon_name; run: () => void }[];
}

export class info_card {
  readonly element = h("section", { class: "panel info-card hidden",
    set: { "aria-live": "polite", "aria-label": "What was picked" } });

  constructor(private readonly close_: () => void) {}

  show(c: card_content | undefined): void {
    this.element.classList.toggle("hidden", !c);
    if (!c) return;
    this.element.replaceChildren(
      h("header", {}, h("h2", {}, c.title), h("button",
        { class: "ghost", title: "Close (Esc)", set: { type: "button", "aria-label": "Close the card" },
          on: { click: () => this.close_() } }, icon(icons.close))),
      ...(c.words ? [h("p", { class: "hint" }, c.words)] : []),
      ...(c.facts ? [h("dl", {}, ...c.facts.flatMap(([label, value]) => [h("dt", {}, label), h("dd", {}, value)]))] : []),
      ...(c.todo?.length
        ? [h("div", { class: "todo" }, ...c.todo.map((t) =>
          h("button", { class: "button", set: { type: "button" }, on: { click: () => t.run() } },
            ...(t.icon ? [icon(icons[t.icon])] : []), t.label)))]
        : []),
    );
  }
}
