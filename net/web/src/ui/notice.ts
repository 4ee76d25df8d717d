// Says in plain words what is wrong, or what is being waited for, and what to do; and short notes that go by themselves.

import { h, icon, icons } from "./dom";

export interface notice {
  tone: "calm" | "warn" | "bad";
  title: string;
  text: string;
  /// Lines to type or read, shown as code.
  code?: string;
  /// Several of them, one shown at a time.
  tabs?: { label: string; words?: string; code: string }[];
  action?: { label: string; run: () => void };
  /// A line to fill in, with what it is called and what to do with it.
  ask?: { label: string; button: string; take: (answer: string) => void };
}

/// A card in the middle while there is no map, a strip at the top while there is one.
export class notice_area {
  readonly element = h("div", { class: "notice-area", set: { role: "status", "aria-live": "polite" } });
  private shown_ = "";

  show(n: notice | undefined, as: "card" | "strip"): void {
    const key = n ? `${as}|${n.tone}|${n.title}|${n.text}|${n.code ?? ""}|${n.tabs?.map((t) => t.code).join("|") ?? ""}` : "";
    if (key === this.shown_) return;
    this.shown_ = key;
    this.element.replaceChildren();
    this.element.classList.toggle("as-strip", as === "strip");
    if (!n) return;
    const act = n.action;
    this.element.append(
      h(
        "div",
        { class: `panel notice ${as} ${n.tone}${n.tabs ? " with-tabs" : ""}` },
        n.tone === "calm" && as === "card" ? h("div", { class: "pulse", set: { "aria-hidden": "true" } }, h("i"), h("i"), h("i"))
          : undefined,
        h("div", { class: "words" }, h("h2", {}, n.title), h("p", {}, n.text),
          n.code !== undefined && as === "card" ? h("pre", {}, n.code) : undefined),
        n.tabs && as === "card" ? tabs(n.tabs) : undefined,
        n.ask ? question(n.ask) : undefined,
        act ? h("button", { class: "button", set: { type: "button" }, on: { click: () => act.run() } }, act.label) : undefined,
      ),
    );
  }
}

function tabs(list: NonNullable<notice["tabs"]>): HTMLElement {
  const words = h("p", { class: "tab-words" }), code = h("pre", {});
  const copy = h("button", { class: "ghost copy", title: "Copy", set: { type: "button", "aria-label": "Copy" },
    on: { click: () => void take() } }, icon(icons.copy));
  const take = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(code.textContent ?? "");
      copy.classList.add("done");
      setTimeout(() => copy.classList.remove("done"), 1200);
    } catch {
      getSelection()?.selectAllChildren(code);
    }
  };
  const heads = list.map((t, i) => h("button", { set: { type: "button", role: "tab" }, on: { click: () => show(i) } }, t.label));
  const show = (which: number): void => {
    heads.forEach((head, i) => head.setAttribute("aria-selected", String(i === which)));
    words.textContent = list[which].words ?? "";
    words.classList.toggle("hidden", !list[which].words);
    code.textContent = list[which].code;
  };
  show(0);
  return h("div", { class: "tabs" }, h("div", { class: "tab-heads", set: { role: "tablist" } }, ...heads), words,
    h("div", { class: "tab-code" }, code, copy));
}

function question(ask: NonNullable<notice["ask"]>): HTMLFormElement {
  const line = h("input", { class: "line",
    set: { type: "password", autocomplete: "off", placeholder: ask.label, "aria-label": ask.label } });
  const give = (e: Event): void => {
    e.preventDefault();
    if (line.value) ask.take(line.value);
  };
  return h("form", { class: "question", on: { submit: give } }, line,
    h("button", { class: "button", set: { type: "submit" } }, ask.button));
}

/// Notes at the bottom that leave after some seconds.
export class toasts {
  readonly element = h("div", { class: "toasts", set: { role: "log", "aria-live": "polite" } });

  say(text: string, tone: "calm" | "bad" = "calm", for_ms = 4500): void {
    for (const old of [...this.element.children]) if (old.textContent === text) old.remove();
    while (this.element.children.length > 2) this.element.firstElementChild?.remove();
    const t = h("div", { class: `panel toast ${tone}` }, text);
    this.element.append(t);
    setTimeout(() => t.remove(), for_ms);
  }
}
