// The panel of choices: shading, what is drawn, tools, up, bandwidth, saving. Its buttons and switches come from the list of actions.

import { type action, type action_list, key_name } from "./actions";
import { type up_choice, up_choices } from "../scene/orientation";
import { bandwidths, type settings } from "./settings";
import { h, icon, icons } from "./dom";

const up_names: Record<up_choice, string> = { auto: "Automatic", "-y": "−Y", "+y": "+Y", "+z": "+Z", "-z": "−Z", "+x": "+X", "-x": "−X" };

export class view_panel {
  readonly element: HTMLElement;
  private buttons_: [action, HTMLButtonElement][] = [];
  private boxes_: [action, HTMLInputElement][] = [];
  private up_: HTMLSelectElement;
  private bandwidth_: HTMLSelectElement;
  private level_ = h("p", { class: "hint" });

  constructor(
    private readonly settings_: settings,
    private readonly actions_: action_list,
    changed: (name: "up" | "max_bits_per_s") => void,
    console_address: string,
  ) {
    const title = (a: action): string => (a.key ? `${a.help ?? a.label} (${key_name(a.key)})` : (a.help ?? a.label));
    const button = (a: action, kind: string, ...children: (Node | string)[]): HTMLButtonElement => {
      const b = h("button", { class: kind, title: title(a), set: { type: "button", "data-action": a.name }, on: { click: () => actions_.run(a.name) } }, ...children);
      this.buttons_.push([a, b]);
      return b;
    };
    const options = (list: readonly (readonly [string, string])[]): HTMLOptionElement[] => list.map(([value, label]) => h("option", { set: { value } }, label));
    const choice = <K extends "up" | "max_bits_per_s">(name: K, read: (text: string) => settings[K], list: readonly (readonly [string, string])[]): HTMLSelectElement => {
      const select = h("select", { on: { change: () => {
        this.settings_[name] = read(select.value);
        changed(name);
      } } }, ...options(list));
      return select;
    };
    this.up_ = choice("up", (t) => t as up_choice, up_choices.map((u) => [u, up_names[u]] as const));
    this.bandwidth_ = choice("max_bits_per_s", Number, bandwidths.map((b) => [String(b), b ? `${b / 1e6} Mbit/s` : "Unlimited"] as const));
    // What the bar of a narrow screen has no room for, or no bar has.
    const tools = actions_.all.filter((a) => a.icon && a.bar !== "always");
    const saves = actions_.in("file").filter((a) => !a.bar);
    this.element = h(
      "section",
      { class: "panel view-panel", set: { "aria-label": "View" } },
      h("header", {}, h("h2", {}, "View"), h("button", { class: "ghost close", title: "Close", set: { type: "button", "aria-label": "Close" }, on: { click: () => actions_.run("panel") } }, icon(icons.close))),
      h("h3", {}, "Shading"), h("div", { class: "segments", set: { role: "group", "aria-label": "Shading" } }, ...actions_.in("shading").map((a) => button(a, "", a.label))),
      h("h3", {}, "Show"), h("div", { class: "switches" }, ...actions_.in("show").map((a) => this.switch_(a))),
      h("h3", { class: "only-narrow" }, "Tools"),
      h("div", { class: "pair only-narrow" }, ...tools.map((a) => button(a, "button", icon(icons[a.icon ?? "help"]), a.label)),
        h("a", { class: "button", set: { href: console_address } }, icon(icons.console), "Console")),
      h("div", { class: "field" }, h("label", {}, "Up axis", this.up_)), this.level_,
      h("div", { class: "field" }, h("label", {}, "Bandwidth", this.bandwidth_)),
      h("h3", {}, "Save map"), h("div", { class: "pair" }, ...saves.map((a) => button(a, "button", icon(icons.save), a.label))),
    );
    this.show("cameras");
  }

  /// Brings the controls in line with what is on; `level` tells what the upright comes from.
  show(level: "chosen" | "floor" | "cameras"): void {
    for (const [a, b] of this.buttons_) if (a.on) b.setAttribute("aria-pressed", String(a.on()));
    for (const [a, box] of this.boxes_) box.checked = a.on?.() ?? false;
    this.up_.value = this.settings_.up;
    this.bandwidth_.value = String(this.settings_.max_bits_per_s);
    this.level_.textContent = level === "floor" ? "Level with the floor that was found." : level === "cameras" ? "Level with the cameras." : "";
    this.level_.classList.toggle("hidden", level === "chosen");
  }

  private switch_(a: action): HTMLElement {
    const box = h("input", { set: { type: "checkbox", role: "switch", "data-action": a.name }, on: { change: () => this.actions_.run(a.name) } });
    this.boxes_.push([a, box]);
    return h("label", { class: "switch" }, h("span", {}, a.label), a.key ? h("kbd", {}, key_name(a.key)) : undefined, box, h("i", {}));
  }
}
