// The panel of choices: shading, what is drawn, tools, lists, saving. Its buttons and switches come from the list of actions, its
// lists from the settings.

import { type action, type action_list, key_name } from "./actions";
import { is_switch, row_of, setting_names, setting_value } from "./settings";
import { h, icon, icons } from "./dom";
import { option_name } from "./viewer_actions";
import type { viewer } from "../viewer";

export class view_panel {
  readonly element: HTMLElement;
  private buttons_: [action, HTMLButtonElement][] = [];
  private boxes_: [action, HTMLInputElement][] = [];
  private show_lists_: (() => void)[] = [];

  constructor(
    private readonly viewer_: viewer,
    private readonly actions_: action_list,
    console_address: string,
  ) {
    const title = (a: action): string => (a.key ? `${a.help ?? a.label} (${key_name(a.key)})` : (a.help ?? a.label));
    const button = (a: action, kind: string, ...children: (Node | string)[]): HTMLButtonElement => {
      const b = h("button", { class: kind, title: title(a), set: { type: "button", "data-action": a.name },
        on: { click: () => actions_.run(a.name) } }, ...children);
      this.buttons_.push([a, b]);
      return b;
    };
    // What the bar of a narrow screen has no room for, or no bar has.
    const tools = actions_.all.filter((a) => a.icon && a.bar !== "always");
    const switches = setting_names.filter((name) => {
      const r = row_of(name);
      return is_switch(r) && r.group === "show";
    });
    const saves = actions_.in("file").filter((a) => !a.bar);
    this.element = h(
      "section",
      { class: "panel view-panel", set: { "aria-label": "View" } },
      h("header", {}, h("h2", {}, "View"), h("button",
        { class: "ghost close", title: "Close", set: { type: "button", "aria-label": "Close" },
          on: { click: () => actions_.run("panel") } }, icon(icons.close))),
      ...setting_names.flatMap((name) => {
        const r = row_of(name);
        if (is_switch(r) || r.shown === "list") return [];
        const of = r.options.map((o) => actions_.named(option_name(name, o.value)));
        const named = { role: "group", "aria-label": r.label };
        return [h("h3", {}, r.label), h("div", { class: "segments", set: named }, ...of.map((a) => button(a, "", a.label)))];
      }),
      h("h3", {}, "Show"), h("div", { class: "switches" }, ...switches.map((name) => this.switch_(actions_.named(name)))),
      h("h3", { class: "only-narrow" }, "Tools"),
      h("div", { class: "pair only-narrow" }, ...tools.map((a) => button(a, "button", icon(icons[a.icon ?? "help"]), a.label)),
        h("a", { class: "button", set: { href: console_address } }, icon(icons.console), "Console")),
      ...this.lists_(),
      h("h3", {}, "Save map"), h("div", { class: "pair" }, ...saves.map((a) => button(a, "button", icon(icons.save), a.label))),
    );
    this.show();
  }

  /// Brings the controls in line with what is on.
  show(): void {
    for (const [a, b] of this.buttons_) if (a.on) b.setAttribute("aria-pressed", String(a.on()));
    for (const [a, box] of this.boxes_) box.checked = a.on?.() ?? false;
    for (const show of this.show_lists_) show();
  }

  private lists_(): HTMLElement[] {
    return setting_names.flatMap((name) => {
      const r = row_of(name);
      if (is_switch(r) || r.shown !== "list") return [];
      const options = r.options.map((o) => h("option", { set: { value: String(o.value) } }, o.label));
      const select = h("select", { on: { change: () => this.viewer_.set(name, setting_value(name, select.value)!) } },
        ...options);
      const hint = r.hint && h("p", { class: "hint" });
      this.show_lists_.push(() => {
        select.value = String(this.viewer_.settings[name]);
        if (!hint) return;
        hint.textContent = r.hint!(this.viewer_);
        hint.classList.toggle("hidden", hint.textContent === "");
      });
      return [h("div", { class: "field" }, h("label", {}, r.label, select)), ...(hint ? [hint] : [])];
    });
  }

  private switch_(a: action): HTMLElement {
    const box = h("input", { set: { type: "checkbox", role: "switch", "data-action": a.name },
      on: { change: () => this.actions_.run(a.name) } });
    this.boxes_.push([a, box]);
    return h("label", { class: "switch" }, h("span", {}, a.label), a.key ? h("kbd", {}, key_name(a.key)) : undefined, box,
      h("i", {}));
  }
}
