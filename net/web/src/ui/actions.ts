// Everything that can be done on the page, once: the toolbar, the panel, the keys and the help sheet are made from this list.

import type { icon_name } from "./dom";

export type action_group = "move" | "tools" | "show" | "shading" | "file" | "panels";

export interface action {
  name: string;
  group: action_group;
  /// What its button says.
  label: string;
  /// What the help sheet says, where that is more than the label.
  help?: string;
  /// As KeyboardEvent.key gives it, letters small.
  key?: string;
  icon?: icon_name;
  /// Whether it has a button in the bar: on every screen, or where there is room.
  bar?: "always" | "wide";
  /// For what can be on or off.
  on?: () => boolean;
  run: () => void;
}

export const key_name = (key: string): string => (key === "escape" ? "Esc" : key.toUpperCase());

export class action_list {
  /// Called after anything was done, so that what shows it can follow.
  on_done: () => void = () => {};
  private by_name_ = new Map<string, action>();
  private by_key_ = new Map<string, action>();

  /// Throws if two share a name or a key.
  constructor(readonly all: readonly action[]) {
    for (const a of all) {
      if (this.by_name_.has(a.name)) throw new Error(`two actions are named ${a.name}`);
      this.by_name_.set(a.name, a);
      if (a.key === undefined) continue;
      if (this.by_key_.has(a.key)) throw new Error(`two actions have the key ${a.key}`);
      this.by_key_.set(a.key, a);
    }
  }

  in(group: action_group): action[] {
    return this.all.filter((a) => a.group === group);
  }

  named(name: string): action {
    const a = this.by_name_.get(name);
    if (!a) throw new Error(`no action is named ${name}`);
    return a;
  }

  run(name: string): void {
    this.named(name).run();
    this.on_done();
  }

  /// Does what a key stands for; true if it stands for something.
  press(e: Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey" | "repeat" | "target">): boolean {
    if (e.ctrlKey || e.metaKey || e.altKey || e.repeat) return false;
    const at = e.target as { closest?: (selector: string) => unknown } | null;
    if (at?.closest?.("select, textarea, input:not([type=checkbox]):not([type=range])")) return false;
    const a = this.by_key_.get(e.key.toLowerCase());
    if (!a || (a.name !== "help" && at?.closest?.("dialog[open]"))) return false;
    a.run();
    this.on_done();
    return true;
  }
}
