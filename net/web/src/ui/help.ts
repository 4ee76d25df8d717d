// The help sheet, made from the list of actions.

import { type action_group, type action_list, key_name } from "./actions";
import { h, icon, icons } from "./dom";

const gestures: [string, string][] = [
  ["Drag", "turn"],
  ["Right drag, Shift drag, two fingers", "move sideways"],
  ["Wheel, pinch", "zoom; when flying, the wheel sets the speed"],
  ["Double click or tap", "turn around that point"],
  ["Click or tap on a dot of the path", "the keyframe: its id, its time, and a look through its camera"],
];
/// In this order.
const titles: Record<action_group, string> = {
  move: "View", tools: "Look closer", shading: "Shading", show: "Show", file: "Keep", panels: "Panels",
};

export class help_sheet {
  readonly element: HTMLDialogElement;

  constructor(actions: action_list) {
    const close = (): void => this.element.close();
    const list = (lines: [Node | string, string][]): HTMLElement =>
      h("dl", {}, ...lines.flatMap(([k, what]) => [h("dt", {}, k), h("dd", {}, what)]));
    const walk = h("span", {}, ...["W", "A", "S", "D", "Q", "E"].flatMap((k) => [h("kbd", {}, k), " "]));
    const section = (group: action_group): HTMLElement | undefined => {
      const of = actions.in(group).filter((a) => a.key);
      if (!of.length) return undefined;
      const lines = of.flatMap((a) => {
        const kind = a.icon ? "" : "only-mouse";
        return [h("dt", { class: kind }, h("kbd", { class: "only-mouse" }, key_name(a.key!)),
          ...(a.icon ? [h("span", { class: "only-fingers" }, icon(icons[a.icon]))] : [])),
          h("dd", { class: kind }, a.help ?? a.label)];
      });
      return h("section", { class: of.some((a) => a.icon) ? "" : "only-mouse" }, h("h3", {}, titles[group]),
        h("dl", {}, ...lines));
    };
    this.element = h(
      "dialog",
      { class: "panel help", set: { "aria-label": "Help" } },
      h("header", {}, h("h2", {}, "Keys and gestures"),
        h("button", { class: "ghost", set: { type: "button", "aria-label": "Close" }, on: { click: close } }, icon(icons.close))),
      h("section", { class: "wide-section" }, h("h3", {}, "Move"), list(gestures),
        h("div", { class: "only-mouse" }, list([[walk, "move; Shift for fast"]]))),
      h("div", { class: "help-columns" }, ...(Object.keys(titles) as action_group[]).map(section)),
    );
    this.element.addEventListener("click", (e) => e.target === this.element && close());
  }

  toggle(): void {
    if (this.element.open) this.element.close();
    else this.element.showModal();
  }
}
