// <tessera-view>: the view of a map as an element of somebody's page. What it offers is told in element.d.ts.

import type { TesseraPick, TesseraState, TesseraStats, TesseraView as offered } from "../../element";
import { map_view } from "../map_view";
import type { insets } from "../scene/framing";
import { map_scene, no_webgl } from "../scene/scene";
import { now_ms } from "../stream/clock";
import type { service_address } from "../stream/connection";
import { h } from "../ui/dom";
import type { settings } from "../ui/settings";
import { address_of, all_settings_of, type attributes, governed_by, link_of } from "./attributes";
import css from "./element.css?inline";
import { line_of, state_of } from "./state";

const begun: TesseraState = { name: "connecting", reason: "" };
const writable = ["src", "token", "view", "shading", "up", "show"] as const;
type maybe<value> = value | null | undefined;
/// For the document of a window: those of others may not be adopted there.
const sheet_of = (w: typeof globalThis): CSSStyleSheet => {
  const made = new w.CSSStyleSheet();
  made.replaceSync(css);
  return made;
};
const sheet = sheet_of(globalThis);

class embedded_view extends map_view {
  constructor(scene: map_scene, address: service_address, now: settings,
    private readonly told_: () => void, picked: (p: TesseraPick) => void) {
    const { canvas } = scene;
    const focused = (): boolean => (canvas.getRootNode() as ShadowRoot).activeElement === canvas;
    // A page is scrolled past a map: the wheel is the map's once it was clicked, and so are the keys.
    super(scene, address, now, { keys: canvas, wheel: (e) => e.ctrlKey || focused() });
    this.gestures_.on_tap = (at) => {
      const hit = scene.pick(at);
      if (hit) picked({ point: scene.to_map(hit.point), region: hit.region });
    };
  }

  override insets(): insets {
    const legend = this.key.legend.element.offsetHeight;
    return { ...super.insets(), bottom: legend ? legend + 12 : 0 };
  }

  override tell(): void {
    this.told_();
  }

  override beat(): void {
    super.beat();
    this.told_();
  }
}

export class TesseraView extends HTMLElement implements offered {
  static readonly observedAttributes = writable;
  private state_ = begun;
  private view_: embedded_view | undefined;
  /// Of what it is a view: address and token as they were written.
  private opened_: string | undefined;
  private unsettled_ = false;
  private words_ = h("span");
  private line_ = h("div", { class: "panel status hidden", set: { role: "status" } }, h("span", { class: "dot" }), this.words_);
  private root_ = this.attachShadow({ mode: "open", delegatesFocus: true });

  constructor() {
    super();
    this.root_.adoptedStyleSheets = [sheet];
  }

  connectedCallback(): void {
    // What was set before the module came hides the property.
    for (const name of writable) {
      if (!Object.hasOwn(this, name)) continue;
      const value = this[name];
      delete (this as Partial<Record<typeof name, string>>)[name];
      this.write_(name, value);
    }
    this.settle_();
  }

  disconnectedCallback(): void {
    this.settle_();
  }

  /// A document without a window shows nothing.
  adoptedCallback(): void {
    const w = this.ownerDocument.defaultView;
    if (w) this.root_.adoptedStyleSheets = [sheet_of(w)];
  }

  attributeChangedCallback(name: (typeof writable)[number]): void {
    if (name === "src" || name === "token") this.settle_();
    else if (name === "view") this.view_?.take(link_of(this.attributes_()));
    else {
      const now = all_settings_of(this.attributes_());
      for (const each of governed_by(name)) this.view_?.set(each, now[each] as never);
    }
  }

  get src(): string { return this.getAttribute("src") ?? ""; }
  set src(value: maybe<string>) { this.write_("src", value); }
  get token(): string { return this.getAttribute("token") ?? ""; }
  set token(value: maybe<string>) { this.write_("token", value); }
  get view(): string { return this.view_?.link() ?? this.getAttribute("view") ?? ""; }
  set view(value: maybe<string>) { this.write_("view", value); }
  get shading(): settings["shading"] { return (this.view_?.settings ?? all_settings_of(this.attributes_())).shading; }
  set shading(value: maybe<settings["shading"]>) { this.write_("shading", value); }
  get up(): settings["up"] { return (this.view_?.settings ?? all_settings_of(this.attributes_())).up; }
  set up(value: maybe<settings["up"]>) { this.write_("up", value); }
  get show(): string { return this.getAttribute("show") ?? "path grid backfaces"; }
  set show(value: maybe<string>) { this.write_("show", value); }

  get state(): TesseraState {
    return this.state_;
  }

  get stats(): TesseraStats {
    const shown = this.view_?.scene.surfaces;
    return { triangles: shown?.triangles ?? 0, regions: shown?.size ?? 0, keyframes: this.view_?.stream.stats?.keyframes ?? 0 };
  }

  fit(): void {
    this.view_?.standpoint.fit();
  }

  /// Frameworks set a property to null or undefined to say that there is none.
  private write_(name: (typeof writable)[number], value: maybe<string>): void {
    if (value === null || value === undefined) this.removeAttribute(name);
    else this.setAttribute(name, value);
  }

  private attributes_(): attributes {
    return Object.fromEntries(writable.map((name) => [name, this.getAttribute(name) ?? undefined]));
  }

  /// Opens, closes, or opens anew, once all that is done to the element just now is done: who moves it within a page takes it out
  /// first.
  private settle_(): void {
    if (this.unsettled_) return;
    this.unsettled_ = true;
    queueMicrotask(() => {
      this.unsettled_ = false;
      const wanted = this.isConnected ? JSON.stringify([this.src, this.token]) : undefined;
      if (wanted === this.opened_) return;
      this.opened_ = wanted;
      this.close_();
      if (wanted !== undefined) this.open_();
    });
  }

  private open_(): void {
    const canvas = h("canvas", { set: { tabindex: "0", "aria-label": "A map, in three dimensions" } });
    this.root_.replaceChildren(h("div", { class: "stage" }, canvas), this.line_);
    const a = this.attributes_();
    let address: service_address, scene: map_scene;
    try {
      address = address_of(a, document.baseURI);
      scene = new map_scene(canvas);
    } catch (error) {
      const reason = error instanceof no_webgl ? "this browser cannot draw the map: it offers no WebGL 2"
        : (error as Error).message;
      this.show_({ name: "error", reason }, 0);
      return;
    }
    this.view_ = new embedded_view(scene, address, all_settings_of(a), () => this.tell_(), (p) => this.say_("tessera-pick", p));
    this.root_.append(this.view_.key.legend.element);
    this.view_.start();
    this.view_.take(link_of(a));
  }

  private close_(): void {
    this.view_?.end();
    this.view_ = undefined;
    this.root_.replaceChildren();
    this.state_ = begun;
  }

  private tell_(): void {
    const view = this.view_;
    if (!view) return;
    const s = view.state, wait_s = s.name === "waiting" && s.cause !== "no_map" && Number.isFinite(s.retry_ms)
      ? Math.max(0, Math.ceil((s.retry_ms - now_ms()) / 1000)) : 0;
    if (view.context_lost) this.show_({ name: "error", reason: "the browser took the drawing context away" }, 0);
    else if (view.stream.decoder_missing) this.show_({ name: "error",
      reason: "the mesh decoder could not be started: WebAssembly or a worker is not allowed here" }, 0);
    else this.show_(state_of(s, view.address, location.host, this.state_), wait_s);
  }

  private show_(next: TesseraState, wait_s: number): void {
    const before = this.state_, view = this.view_;
    const empty = view?.stream.stats?.triangles === 0 && view.scene.surfaces.size === 0;
    const words = line_of(next, wait_s, empty);
    this.words_.textContent = words;
    this.line_.classList.toggle("hidden", words === "");
    this.line_.dataset["state"] = next.name === "online" ? "live" : next.name === "connecting" ? "connecting" : "offline";
    this.state_ = next;
    if (before.name !== next.name || before.reason !== next.reason) this.say_("tessera-state", next);
  }

  private say_(name: string, detail: TesseraState | TesseraPick): void {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

if (!customElements.get("tessera-view")) customElements.define("tessera-view", TesseraView);
