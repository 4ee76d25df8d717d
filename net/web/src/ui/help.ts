// The help sheet.

import { h, icon, icons } from "./dom";

const keys: [string, [string, string][]][] = [
  ["Move", [
    ["Drag", "turn"], ["Right drag, Shift drag, two fingers", "move sideways"], ["Wheel, pinch", "zoom; when flying, the wheel sets the speed"],
    ["Double click", "turn around that point"], ["W A S D  Q E", "move; Shift for fast"],
  ]],
  ["View", [
    ["F", "fit the map to the view"], ["C", "follow the camera"], ["V", "orbit or fly"], ["1 – 6", "shading: colour, unlit, shape, normals, region, age"],
    ["O  P  G  B", "outlines, path, grid, back faces"],
  ]],
  ["Panels", [["N", "counters"], ["M", "view settings"], ["U", "hide everything but the map"], ["?", "this sheet"]]],
];

/// Single keys each get a key's look; gestures are words.
const chips = (k: string): (Node | string)[] => (/^(\S( – \S)?)(\s+\S)*$/.test(k) ? k.split(/(?<! –)\s+(?!–)/).map((one) => h("kbd", {}, one)) : [k]);

export class help_sheet {
  readonly element: HTMLDialogElement;

  constructor() {
    const close = (): void => this.element.close();
    this.element = h(
      "dialog",
      { class: "panel help", set: { "aria-label": "Help" } },
      h("header", {}, h("h2", {}, "Keys and gestures"), h("button", { class: "ghost", set: { type: "button", "aria-label": "Close" }, on: { click: close } }, icon(icons.close))),
      ...keys.map(([title, list]) => h("section", {}, h("h3", {}, title), h("dl", {}, ...list.flatMap(([k, what]) => [h("dt", {}, ...chips(k)), h("dd", {}, what)])))),
    );
    this.element.addEventListener("click", (e) => e.target === this.element && close());
  }

  toggle(): void {
    if (this.element.open) this.element.close();
    else this.element.showModal();
  }
}
