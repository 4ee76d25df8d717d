// The viewer page: joins the stream, the scene, the view and the panels.

import { Vector3 } from "three";
import { action_list } from "./ui/actions";
import { camera_set } from "./scene/cameras";
import { now_ms } from "./stream/clock";
import { colour_key } from "./ui/colour_key";
import { type connection_state, service_address_of } from "./stream/connection";
import { travel_controls } from "./scene/controls";
import { map_cut } from "./ui/cut";
import { gestures } from "./scene/gestures";
import { inspection } from "./ui/inspection";
import { kept_address } from "./ui/page_state";
import { pixel_ratio } from "./scene/pixel_ratio";
import { save_mesh, save_picture } from "./save/saving";
import { map_scene, no_webgl } from "./scene/scene";
import { load_settings, row_of, save_settings, type setting_name, setting_names, type settings } from "./ui/settings";
import { standpoint } from "./scene/standpoint";
import { status_line } from "./ui/status_line";
import { map_stream } from "./stream/stream";
import { style_colour } from "./scene/theme";
import { counters_panel } from "./ui/counters";
import { h, icon, icons } from "./ui/dom";
import { help_sheet } from "./ui/help";
import { info_card } from "./ui/info_card";
import { marks_overlay } from "./ui/marks";
import { notice_area, toasts } from "./ui/notice";
import { stick } from "./ui/stick";
import { toolbar } from "./ui/toolbar";
import { view_panel } from "./ui/view_panel";
import { viewer_actions } from "./ui/viewer_actions";
import { no_webgl_notice } from "./ui/words";
import "./style.css";

const narrow = matchMedia("(max-width: 720px)");
const fingers = matchMedia("(pointer: coarse)");

export class viewer {
  readonly settings = load_settings(narrow.matches);
  readonly cameras = new camera_set();
  readonly toasts = new toasts();
  readonly controls: travel_controls;
  readonly standpoint: standpoint;
  readonly inspection: inspection;
  readonly cut: map_cut;
  readonly help: help_sheet;
  readonly stream: map_stream;
  readonly panel: view_panel;
  readonly counters = new counters_panel();
  private gestures_: gestures;
  private actions_: action_list;
  private kept_ = new kept_address();
  private state_: connection_state = { name: "connecting" };
  private dirty_ = true;
  private moving_ = false;
  private pixels_ = new pixel_ratio(devicePixelRatio);
  private frames_: number[] = [];
  private worst_frame_ms_ = 0;
  private last_frame_ms_ = 0;
  private context_lost_ = false;

  private status_: status_line;
  private key_: colour_key;
  private marks_ = new marks_overlay();
  private card_ = new info_card(() => this.inspection.clear());
  private stick_: stick;
  private tools_: toolbar;

  constructor(
    readonly scene: map_scene,
    private readonly root_: HTMLElement,
  ) {
    const address = service_address_of(new URL(location.href)), redraw = (): void => void (this.dirty_ = true);
    this.controls = new travel_controls(scene.camera, scene.canvas);
    this.controls.on_change = redraw;
    this.gestures_ = new gestures(this.controls, scene.canvas);
    this.cut = new map_cut(scene, redraw, () => this.do("cut"));
    this.standpoint = new standpoint({
      scene, cameras: this.cameras, controls: this.controls, gestures: this.gestures_, settings: this.settings, kept: this.kept_,
      // Panels at the sides and bars at the edges, pixels.
      insets: () => {
        if (this.bare) return { left: 0, right: 0, top: 0, bottom: 0 };
        return narrow.matches ? { left: 0, right: 0, top: 52, bottom: 64 } : { left: 0, right: this.settings.panel ? 272 : 0, top: 56, bottom: 16 };
      },
      held: () => this.cut.holds,
      turned: () => this.inspection.mark(),
    });
    this.inspection = new inspection({
      scene, cameras: this.cameras, marks: this.marks_,
      since_ms: (ms) => this.stream.clock.since_ms(ms, now_ms()),
      show: (card) => this.card_.show(card),
      look_through: (c) => this.controls.stand(scene.outlook_of(c.pose)),
      path_shown: () => this.settings.path,
      changed: redraw,
    });
    this.key_ = new colour_key(scene, this.settings);
    this.status_ = new status_line(address);
    this.stick_ = new stick((p) => {
      this.gestures_.stick = p;
      redraw();
    });
    this.stream = new map_stream(address, scene, this.cameras, {
      state: (s) => {
        this.state_ = s;
        this.tell_();
      },
      map: (_m, another) => this.begin_(another),
      cameras: redraw,
      stats: () => this.tell_(),
      complain: (words) => this.toasts.say(words, "bad", 8000),
    });

    this.actions_ = new action_list(viewer_actions(this));
    this.actions_.on_done = () => this.reflect_();
    const console_address = `console${location.search}`;
    this.panel = new view_panel(this, this.actions_, console_address);
    this.tools_ = new toolbar(this.actions_, console_address);
    this.help = new help_sheet(this.actions_);
    const unbare = h("button", { class: "panel unbare", title: "Show the panels (Esc)", set: { type: "button", "aria-label": "Show the panels" }, on: { click: () => this.do("bare") } }, icon(icons.sliders));
    root_.append(this.marks_.element, this.status_.element, this.tools_.element, this.counters.element, this.panel.element, this.key_.legend.element, this.cut.panel.element, this.card_.element,
      this.stick_.element, this.status_.notices.element, this.toasts.element, this.help.element, unbare);

    this.gestures_.on_tap = (at, px) => this.inspection.tap(at, px, fingers.matches);
    this.gestures_.on_double_tap = (at) => {
      const hit = this.inspection.tool === "none" ? scene.pick(at) : undefined;
      if (hit) this.controls.turn_around(hit.point);
    };
    scene.on_resize = () => {
      this.standpoint.resized();
      redraw();
    };
    scene.surfaces.since_ms = (service_ms) => this.stream.clock.since_ms(service_ms, now_ms());
    scene.set_pixel_ratio(this.pixels_.value);
    scene.on_context = (there) => {
      this.context_lost_ = !there;
      redraw();
      this.tell_();
    };
    for (const name of setting_names) this.apply_(name);
    this.reflect_();
    this.take_address_();
    window.addEventListener("keydown", (e) => this.actions_.press(e) && e.preventDefault());
    window.addEventListener("hashchange", () => this.take_address_());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.stream.connection.retry_now();
    });
    window.addEventListener("online", () => this.stream.connection.retry_now());
    this.stream.connection.start();
    setInterval(() => this.count_(), 500);
    requestAnimationFrame((t) => this.frame_(t));
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

  /// Sets a setting, does what it means, and keeps it.
  set<name extends setting_name>(name: name, value: settings[name]): void {
    this.settings[name] = value;
    this.apply_(name);
    save_settings(this.settings);
    this.reflect_();
  }

  private apply_<name extends setting_name>(name: name): void {
    (row_of(name).apply as (v: viewer, value: settings[name]) => void)(this, this.settings[name]);
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
      this.toasts.say(`The map could not be saved: ${error instanceof Error ? error.message : String(error)}. Free memory, or use GET /v1/mesh.${format}.`, "bad", 10_000);
    }
  }

  async picture(): Promise<void> {
    try {
      this.scene.draw();
      const colour = `#${style_colour("--mark").convertSRGBToLinear().getHexString()}`;
      await save_picture(this.scene.canvas, (to, scale) => this.marks_.paint(to, scale, (v) => this.scene.on_screen(v), colour));
    } catch (error) {
      this.toasts.say(`No picture: ${error instanceof Error ? error.message : String(error)}.`, "bad");
    }
  }

  private begin_(another: boolean): void {
    this.dirty_ = true;
    if (!another) return;
    this.toasts.say("The service began a new map.");
    this.inspection.clear();
    this.cut.end();
    this.standpoint.forget();
  }

  private frame_(t: number): void {
    requestAnimationFrame((next) => this.frame_(next));
    if (this.context_lost_) return;
    const dt_s = Math.min(0.25, Math.max(0, (t - this.last_frame_ms_) / 1000));
    const ran_on = this.frames_.length > 0 && this.frames_[this.frames_.length - 1] === this.last_frame_ms_;
    if (ran_on) {
      this.worst_frame_ms_ = Math.max(this.worst_frame_ms_, t - this.last_frame_ms_);
      if (this.pixels_.frame(t - this.last_frame_ms_)) this.scene.set_pixel_ratio(this.pixels_.value);
    }
    this.last_frame_ms_ = t;

    const changed = this.stream.advance(dt_s);
    if (changed) this.standpoint.grown();
    if (this.scene.path.update(this.cameras, this.frustum_size_(), performance.now())) this.dirty_ = true;
    this.moving_ = this.controls.update(dt_s, this.standpoint.leader);
    const ages = this.settings.shading === "age" && this.scene.surfaces.size > 0;
    const glow = this.settings.outlines && performance.now() / 1000 < this.scene.outlines.glowing_until_s;
    if (changed || this.moving_ || this.dirty_ || ages || glow || this.gestures_.busy) {
      this.dirty_ = false;
      this.scene.draw();
      this.marks_.draw((v) => this.scene.on_screen(v));
      this.frames_.push(t);
    }
    this.stream.drawn();
  }

  private frustum_size_(): number {
    const voxel = this.stream.hello?.voxel_m ?? 0.05;
    const radius = this.scene.world_sphere()?.radius ?? 10 * voxel;
    return Math.max(4 * voxel, 0.06 * radius);
  }

  private take_address_(): void {
    const s = this.kept_.read();
    if (!s) return;
    for (const name of setting_names) if (s.settings[name] !== undefined) this.set(name, s.settings[name]);
    if (s.clip) this.cut.restore(s.clip);
    if (s.following) this.controls.follow(true);
    else if (s.view) this.standpoint.restore(s.view);
  }

  /// Brings buttons, switches and words in line with what is on.
  private reflect_(): void {
    this.tools_.show();
    this.panel.show();
    this.stick_.element.classList.toggle("hidden", this.controls.mode !== "fly" || !fingers.matches);
    this.scene.canvas.classList.toggle("picking", this.inspection.tool !== "none");
    this.key_.update(this.stream.hello);
    this.dirty_ = true;
  }

  private tell_(): void {
    this.status_.tell(this.state_, this.stream, this.scene.surfaces.size, this.context_lost_);
  }

  private count_(): void {
    const now = performance.now(), stats = this.stream.stats, surfaces = this.scene.surfaces;
    this.frames_ = this.frames_.filter((t) => now - t <= 1000);
    this.counters.update({
      fps: this.frames_.length || undefined,
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
    this.standpoint.orient();
    this.cut.grown();
    if (this.key_.update(this.stream.hello)) this.dirty_ = true;
    this.kept_.write({ view: this.standpoint.kept, settings: this.settings, following: this.controls.following, clip: this.cut.corners });
    this.tools_.show();
    this.panel.show();
    this.tell_();
  }

  /// A look inside, for tests and the curious: `tessera.snapshot()` in the browser's console.
  snapshot(): Record<string, unknown> {
    const worst = this.worst_frame_ms_;
    this.worst_frame_ms_ = 0;
    const s = this.stream, surfaces = this.scene.surfaces, eye = this.scene.eye_in_map();
    return {
      state: this.state_.name,
      epoch: s.ledger.epoch,
      have: s.ledger.size,
      regions: surfaces.size,
      triangles: surfaces.triangles,
      vertices: surfaces.vertices,
      geometry_bytes: surfaces.bytes,
      cameras: this.cameras.size,
      received_bytes: s.received.total,
      latency_ms: s.latency.at([0.5, 0.99], now_ms()),
      pipeline: s.pipeline_depth,
      uploads: s.upload_depth,
      decode_failures: s.failures,
      frames_last_second: this.frames_.length,
      worst_frame_ms: worst,
      gpu: this.scene.info,
      stats: s.stats && { ...s.stats, time_ns: s.stats.time_ns.toString() },
      /// Up, map frame: what the cameras say, and what is up on screen.
      up: this.cameras.up.up,
      shown_up: this.scene.to_map(new Vector3(0, 1, 0)),
      upright: this.scene.upright.toArray(),
      eye: eye.position,
      looks: eye.direction,
      /// The view is on its way, or a frame is due.
      moving: this.moving_ || this.dirty_,
      mode: this.controls.mode,
      tool: this.inspection.tool,
    };
  }
}

const root = document.getElementById("app")!;
const canvas = h("canvas", { set: { tabindex: "0", "aria-label": "The map, in three dimensions" } });
root.append(h("div", { class: "stage" }, canvas));
try {
  (window as unknown as { tessera: viewer }).tessera = new viewer(new map_scene(canvas), root);
} catch (error) {
  if (!(error instanceof no_webgl)) throw error;
  const area = new notice_area();
  root.append(area.element);
  area.show(no_webgl_notice, "card");
}
