// The viewer page: a view of the map, and panels around it.

import { action_list } from "./ui/actions";
import { now_ms } from "./stream/clock";
import { service_address_of } from "./stream/connection";
import { map_view } from "./map_view";
import { counters_panel } from "./ui/counters";
import { cut_panel } from "./ui/cut_panel";
import { h, icon, icons } from "./ui/dom";
import { help_sheet } from "./ui/help";
import { info_card } from "./ui/info_card";
import { inspection } from "./ui/inspection";
import type { insets } from "./scene/framing";
import { kept_address, shared_address } from "./ui/kept_address";
import { marks_overlay } from "./ui/marks";
import { notice_area, toasts } from "./ui/notice";
import { save_mesh, save_picture } from "./save/saving";
import { map_scene, no_webgl } from "./scene/scene";
import { load_settings, save_settings, type setting_name, type settings } from "./ui/settings";
import { status_line } from "./ui/status_line";
import { stick } from "./ui/stick";
import { palette_at } from "./scene/theme";
import { toolbar } from "./ui/toolbar";
import { view_panel } from "./ui/view_panel";
import { viewer_actions } from "./ui/viewer_actions";
import { no_webgl_notice } from "./ui/words";
import "./style.css";

const narrow = matchMedia("(max-width: 720px)");
const fingers = matchMedia("(pointer: coarse)");

export class viewer extends map_view {
  readonly toasts = new toasts();
  readonly inspection: inspection;
  readonly help: help_sheet;
  private actions_: action_list;
  private kept_ = new kept_address();
  private panel_: view_panel;
  private counters_ = new counters_panel();
  private cut_panel_ = new cut_panel(this.cut, () => this.do("cut"));
  private status_ = new status_line(this.address);
  private marks_ = new marks_overlay();
  private card_ = new info_card(() => this.inspection.clear());
  private stick_: stick;
  private tools_: toolbar;

  constructor(
    scene: map_scene,
    private readonly root_: HTMLElement,
  ) {
    super(scene, service_address_of(new URL(location.href)), load_settings(narrow.matches), { keys: window, wheel: () => true });
    this.cut.on_change = () => {
      this.cut_panel_.show();
      this.redraw();
    };
    this.inspection = new inspection({
      scene, cameras: this.cameras, marks: this.marks_,
      since_ms: (ms) => this.stream.clock.since_ms(ms, now_ms()),
      show: (card) => this.card_.show(card),
      look_through: (c) => this.controls.stand(scene.outlook_of(c.pose)),
      path_shown: () => this.settings.path,
      choose_region: (at) => {
        this.choose_region(at);
        this.standpoint.fit(at);
      },
      changed: () => this.redraw(),
    });
    this.stick_ = new stick((p) => {
      this.gestures_.stick = p;
      this.redraw();
    });

    this.actions_ = new action_list(viewer_actions(this));
    this.actions_.on_done = () => this.reflect_();
    const console_address = `console${location.search}`;
    this.panel_ = new view_panel(this, this.actions_, console_address);
    this.tools_ = new toolbar(this.actions_, console_address);
    this.help = new help_sheet(this.actions_);
    const unbare = h("button", { class: "panel unbare", title: "Show the panels (Esc)",
      set: { type: "button", "aria-label": "Show the panels" }, on: { click: () => this.do("bare") } }, icon(icons.sliders));
    root_.append(this.marks_.element, this.status_.element, this.tools_.element, this.counters_.element, this.panel_.element,
      this.key.legend.element, this.cut_panel_.element, this.card_.element,
      this.stick_.element, this.status_.notices.element, this.toasts.element, this.help.element, unbare);

    this.gestures_.on_tap = (at, px) => this.inspection.tap(at, px, fingers.matches);
    const turn_around = this.gestures_.on_double_tap;
    this.gestures_.on_double_tap = (at, px) => this.inspection.tool === "none" && turn_around(at, px);
    window.addEventListener("keydown", (e) => this.actions_.press(e) && e.preventDefault());
    window.addEventListener("hashchange", () => this.take_address_());
  }

  override start(): void {
    super.start();
    this.reflect_();
    this.take_address_();
  }

  /// Does what is named in the list of actions.
  do(name: string): void {
    this.actions_.run(name);
  }

  get bare(): boolean {
    return this.root_.classList.contains("bare");
  }

  set_bare(on: boolean): void {
    this.root_.classList.toggle("bare", on);
  }

  /// Keeps it, too.
  override set<name extends setting_name>(name: name, value: settings[name]): void {
    super.set(name, value);
    save_settings(this.settings);
    this.reflect_();
  }

  override show_panel(name: "counters" | "panel", on: boolean): void {
    (name === "panel" ? this.panel_ : this.counters_).element.classList.toggle("hidden", !on);
  }

  async save(format: "glb" | "ply"): Promise<void> {
    const map = this.stream.hello;
    if (!map || !this.scene.surfaces.size) {
      this.toasts.say("There is nothing to save yet.");
      return;
    }
    this.toasts.say(`Writing ${format.toUpperCase()} …`, "calm", 2000);
    await new Promise((done) => setTimeout(done, 50));
    try {
      this.toasts.say(save_mesh(this.scene, map, format));
    } catch (error) {
      this.toasts.say(`The map could not be saved: ${error instanceof Error ? error.message : String(error)}. Free memory, or ` +
                      `use GET /v1/mesh.${format}.`, "bad", 10_000);
    }
  }

  async picture(): Promise<void> {
    try {
      this.scene.draw();
      const colour = `#${palette_at(this.scene.canvas)("--mark").convertSRGBToLinear().getHexString()}`;
      await save_picture(this.scene.canvas, (to, scale) => this.marks_.paint(to, scale, (v) => this.scene.on_screen(v), colour));
    } catch (error) {
      this.toasts.say(`No picture: ${error instanceof Error ? error.message : String(error)}.`, "bad");
    }
  }

  async copy_link(): Promise<void> {
    try {
      await navigator.clipboard.writeText(shared_address(new URL(location.href), this.link()));
      this.toasts.say(this.address.token ? "A link to this view is copied, without the token."
        : "A link to this view is copied.");
    } catch {
      this.toasts.say("The browser does not let this page copy; the link is in its address bar.", "bad");
    }
  }

  // Panels at the sides and bars at the edges, pixels.
  override insets(): insets {
    if (this.bare) return super.insets();
    return narrow.matches ? { left: 0, right: 0, top: 52, bottom: 64 }
      : { left: 0, right: this.settings.panel ? 272 : 0, top: 56, bottom: 16 };
  }

  override turned(): void {
    this.inspection.mark();
  }

  override complain(words: string): void {
    this.toasts.say(words, "bad", 8000);
  }

  override begun_another(): void {
    this.toasts.say("The service began a new map.");
    this.inspection.clear();
    super.begun_another();
  }

  override drawn(): void {
    this.marks_.draw((v) => this.scene.on_screen(v));
  }

  override tell(): void {
    this.status_.tell(this.state, this.stream, this.scene.surfaces.size, this.context_lost);
  }

  override beat(): void {
    super.beat();
    const stats = this.stream.stats, surfaces = this.scene.surfaces;
    this.counters_.update({
      fps: this.frames_per_s_() || undefined,
      triangles: surfaces.triangles,
      regions: surfaces.size,
      server_regions: stats?.regions,
      bytes_per_s: this.stream.received.per_second(now_ms()),
      bytes_total: this.stream.received.total,
      keyframes: stats?.keyframes,
      keyframes_per_s: stats?.keyframes_per_s,
      latency_ms: this.stream.latency.at([0.5, 0.99], now_ms()),
      pending: stats?.pending,
      decoding: this.stream.depth,
      set_aside: stats?.set_aside ?? 0,
      viewers: stats?.viewers,
      geometry_bytes: surfaces.bytes,
    });
    this.cut_panel_.grown();
    this.kept_.write(this.kept());
    this.tools_.show();
    this.panel_.show();
    this.tell();
  }

  override snapshot(): Record<string, unknown> {
    return { ...super.snapshot(), tool: this.inspection.tool };
  }

  private take_address_(): void {
    const s = this.kept_.read();
    if (s) this.take(s);
  }

  /// Brings buttons, switches and words in line with what is on.
  private reflect_(): void {
    this.tools_.show();
    this.panel_.show();
    this.stick_.element.classList.toggle("hidden", this.controls.mode !== "fly" || !fingers.matches);
    this.scene.canvas.classList.toggle("picking", this.inspection.tool !== "none");
    this.redraw();
  }
}

const root = document.getElementById("app")!;
const canvas = h("canvas", { set: { tabindex: "0", "aria-label": "The map, in three dimensions" } });
root.append(h("div", { class: "stage" }, canvas));
try {
  const page = new viewer(new map_scene(canvas), root);
  (window as unknown as { tessera: viewer }).tessera = page;
  page.start();
} catch (error) {
  if (!(error instanceof no_webgl)) throw error;
  const area = new notice_area();
  root.append(area.element);
  area.show(no_webgl_notice, "card");
}
