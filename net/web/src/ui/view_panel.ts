// The panel of choices: shading, what is drawn, up, bandwidth, saving.

import { type up_choice, up_choices } from "../orientation";
import { bandwidths, type settings, type shading, shadings } from "../settings";
import { h, icon, icons } from "./dom";

export interface view_actions {
  changed(name: keyof settings): void;
  save(format: "glb" | "ply"): void;
  close(): void;
}

export const shading_names: Record<shading, string> = {
  colour: "Colour", photo: "Unlit", clay: "Shape", normals: "Normals", region: "Region", age: "Age",
};

const up_names: Record<up_choice, string> = { auto: "Automatic", "-y": "−Y", "+y": "+Y", "+z": "+Z", "-z": "−Z", "+x": "+X", "-x": "−X" };
const toggles = [
  ["outlines", "Region outlines", "O"],
  ["path", "Camera path", "P"],
  ["grid", "Ground grid", "G"],
  ["backfaces", "Back faces", "B"],
] as const;

export class view_panel {
  readonly element: HTMLElement;
  private buttons_ = new Map<shading, HTMLButtonElement>();
  private boxes_ = new Map<keyof settings, HTMLInputElement>();
  private up_: HTMLSelectElement;
  private bandwidth_: HTMLSelectElement;

  constructor(
    private readonly settings_: settings,
    private readonly actions_: view_actions,
  ) {
    const modes = h("div", { class: "segments", set: { role: "group", "aria-label": "Shading" } });
    shadings.forEach((name, i) => {
      const b = h("button", { set: { type: "button" }, title: `${shading_names[name]} (${i + 1})`, on: { click: () => this.choose_("shading", name) } }, shading_names[name]);
      this.buttons_.set(name, b);
      modes.append(b);
    });
    const switches = h("div", { class: "switches" });
    for (const [name, label, key] of toggles) {
      const box = h("input", { set: { type: "checkbox", role: "switch" }, on: { change: (e) => this.choose_(name, (e.target as HTMLInputElement).checked) } });
      this.boxes_.set(name, box);
      switches.append(h("label", { class: "switch" }, h("span", {}, label), h("kbd", {}, key), box, h("i", {})));
    }
    const options = (list: readonly (readonly [string, string])[]): HTMLOptionElement[] => list.map(([value, label]) => h("option", { set: { value } }, label));
    this.up_ = h("select", { on: { change: () => this.choose_("up", this.up_.value as up_choice) } }, ...options(up_choices.map((u) => [u, up_names[u]] as const)));
    this.bandwidth_ = h(
      "select",
      { on: { change: () => this.choose_("max_bits_per_s", Number(this.bandwidth_.value)) } },
      ...options(bandwidths.map((b) => [String(b), b ? `${b / 1e6} Mbit/s` : "Unlimited"] as const)),
    );
    const save = (format: "glb" | "ply"): HTMLButtonElement =>
      h("button", { class: "button", set: { type: "button" }, title: `Save the whole map as ${format.toUpperCase()}`, on: { click: () => actions_.save(format) } }, icon(icons.save), format.toUpperCase());
    this.element = h(
      "section",
      { class: "panel view-panel", set: { "aria-label": "View" } },
      h("header", {}, h("h2", {}, "View"), h("button", { class: "ghost close", title: "Close", set: { type: "button", "aria-label": "Close" }, on: { click: () => actions_.close() } }, icon(icons.close))),
      h("h3", {}, "Shading"), modes,
      h("h3", {}, "Show"), switches,
      h("div", { class: "field" }, h("label", {}, "Up axis", this.up_)),
      h("div", { class: "field" }, h("label", {}, "Bandwidth", this.bandwidth_)),
      h("h3", {}, "Save map"), h("div", { class: "pair" }, save("glb"), save("ply")),
    );
    this.show();
  }

  /// Brings the controls in line with the settings.
  show(): void {
    for (const [name, b] of this.buttons_) b.setAttribute("aria-pressed", String(this.settings_.shading === name));
    for (const [name, box] of this.boxes_) box.checked = Boolean(this.settings_[name]);
    this.up_.value = this.settings_.up;
    this.bandwidth_.value = String(this.settings_.max_bits_per_s);
  }

  private choose_<K extends keyof settings>(name: K, value: settings[K]): void {
    this.settings_[name] = value;
    this.show();
    this.actions_.changed(name);
  }
}
