// Inputs that were set aside, newest first, each with its reason.

import { h, whole } from "../ui/dom";
import type { aside_input } from "./api";

const most_rows = 200;

export class aside_list {
  readonly element: HTMLElement;
  private count_ = h("span", { class: "hint" });
  private list_ = h("div", { class: "aside-list" });
  private shown_ = "";

  constructor() {
    this.element = h("section", { class: "card aside" }, h("header", {}, h("h2", {}, "Set aside"), this.count_), this.list_);
  }

  update(inputs: aside_input[]): void {
    const sorted = [...inputs].sort((a, b) => b.time_ms - a.time_ms);
    const key = `${sorted.length}/${sorted[0]?.time_ms ?? 0}`;
    if (key === this.shown_) return;
    this.shown_ = key;
    this.count_.textContent = inputs.length ? whole(inputs.length) : "";
    if (!sorted.length) {
      this.list_.replaceChildren(h("p", { class: "nothing" },
        "Nothing was refused. Keyframes that cannot be used are kept out of the map and listed here with the reason."));
      return;
    }
    const when = (ms: number): string => (ms ? new Date(ms).toLocaleTimeString([], { hour12: false }) : "");
    this.list_.replaceChildren(
      ...sorted.slice(0, most_rows).map((a) =>
        h("article", {}, h("div", { class: "aside-head" }, h("b", {}, a.what || "input"), h("span", {}, a.source),
          h("time", {}, when(a.time_ms))), h("p", {}, a.reason))),
    );
  }
}
