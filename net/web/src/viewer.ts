// The viewer page: joins the stream, the scene, the view and the panels.

import { Box3, Quaternion, Vector2, Vector3 } from "three";
import { action_list } from "./actions";
import { camera_set } from "./cameras";
import { now_ms } from "./clock";
import { type connection_state, service_address_of } from "./connection";
import { type outlook, travel_controls } from "./controls";
import type { insets } from "./framing";
import { gestures } from "./gestures";
import { inspection } from "./inspection";
import { level } from "./level";
import { upright_of } from "./orientation";
import { kept_address } from "./page_state";
import { pixel_ratio } from "./pixel_ratio";
import { map_scene, no_webgl } from "./scene";
import { load_settings, save_settings, type settings } from "./settings";
import { save_mesh, save_picture } from "./saving";
import { map_stream } from "./stream";
import { style_colour } from "./theme";
import { counters_panel } from "./ui/counters";
import { type box, cut_panel } from "./ui/cut_panel";
import { h, icon, icons } from "./ui/dom";
import { help_sheet } from "./ui/help";
import { info_card } from "./ui/info_card";
import { legend } from "./ui/legend";
import { marks_overlay } from "./ui/marks";
import { notice_area, toasts } from "./ui/notice";
import { stick } from "./ui/stick";
import { toolbar } from "./ui/toolbar";
import { view_panel } from "./ui/view_panel";
import { viewer_actions } from "./viewer_actions";
import { empty_notice, lost_webgl_notice, no_decoder_notice, no_webgl_notice, shortage_notice, waiting_notice } from "./words";
import "./style.css";

const narrow = matchMedia("(max-width: 720px)");
const fingers = matchMedia("(pointer: coarse)");
/// A new upright is taken while the user looks only if it differs by so much, and no hand is on the view.
const worth_turning = (2 * Math.PI) / 180;
const hands_off_ms = 1500;
const framed_points = 6000;

export class viewer {
  readonly settings = load_settings(narrow.matches);
  readonly toasts = new toasts();
  readonly inspection: inspection;
  readonly controls: travel_controls;
  readonly stream: map_stream;
  readonly cameras = new camera_set();
  readonly help: help_sheet;
  private address_ = service_address_of(new URL(location.href));
  private gestures_: gestures;
  private level_: level;
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
  private framed_radius_ = 0;
  private faced_ = false;
  private heights_: [number, number] = [0, 1];
  private cut_: Box3 | undefined;

  private status_text_ = h("span", {}, "Connecting");
  private status_ = h("div", { class: "panel status" }, h("span", { class: "brand" }, "Tessera"), h("span", { class: "dot" }), this.status_text_);
  private counters_ = new counters_panel();
  private notices_ = new notice_area();
  private legend_ = new legend();
  private marks_ = new marks_overlay();
  private card_ = new info_card(() => this.inspection.clear());
  private cut_panel_ = new cut_panel((c) => this.set_cut_(c), () => this.do("cut"));
  private stick_ = new stick((p) => {
    this.gestures_.stick = p;
    this.dirty_ = true;
  });
  private panel_: view_panel;
  private tools_: toolbar;

  constructor(
    readonly scene: map_scene,
    private readonly root_: HTMLElement,
  ) {
    this.controls = new travel_controls(scene.camera, scene.canvas);
    this.gestures_ = new gestures(this.controls, scene.canvas);
    this.level_ = new level(this.cameras, scene.surfaces);
    this.inspection = new inspection({
      scene, cameras: this.cameras, marks: this.marks_,
      since_ms: (ms) => this.stream.clock.since_ms(ms, now_ms()),
      show: (card) => this.card_.show(card),
      look_through: (c) => this.controls.stand(scene.outlook_of(c.pose)),
      path_shown: () => this.settings.path,
      changed: () => (this.dirty_ = true),
    });
    this.actions_ = new action_list(viewer_actions(this));
    this.actions_.on_done = () => this.reflect_();
    const console_address = `console${location.search}`;
    this.panel_ = new view_panel(this.settings, this.actions_, (name) => this.changed(name), console_address);
    this.tools_ = new toolbar(this.actions_, console_address);
    this.help = new help_sheet(this.actions_);
    const unbare = h("button", { class: "panel unbare", title: "Show the panels (Esc)", set: { type: "button", "aria-label": "Show the panels" }, on: { click: () => this.do("bare") } }, icon(icons.sliders));
    root_.append(this.marks_.element, this.status_, this.tools_.element, this.counters_.element, this.panel_.element, this.legend_.element, this.cut_panel_.element, this.card_.element,
      this.stick_.element, this.notices_.element, this.toasts.element, this.help.element, unbare);

    this.controls.on_change = () => (this.dirty_ = true);
    this.gestures_.on_tap = (at, px) => this.inspection.tap(at, px, fingers.matches);
    this.gestures_.on_double_tap = (at) => {
      const hit = this.inspection.tool === "none" ? scene.pick(at) : undefined;
      if (hit) this.controls.turn_around(hit.point);
    };
    scene.canvas.addEventListener("pointermove", (e) => this.name_region_(e));
    scene.on_resize = () => (this.dirty_ = true);
    scene.surfaces.since_ms = (service_ms) => this.stream.clock.since_ms(service_ms, now_ms());
    scene.set_pixel_ratio(this.pixels_.value);
    scene.on_context = (there) => {
      this.context_lost_ = !there;
      this.dirty_ = true;
      this.tell_();
    };
    this.stream = new map_stream(this.address_, scene, this.cameras, {
      state: (s) => {
        this.state_ = s;
        this.tell_();
      },
      map: (_h, another) => this.begin_(another),
      cameras: () => this.dirty_ = true,
      stats: () => this.tell_(),
      complain: (words) => this.toasts.say(words, "bad", 8000),
    });
    this.stream.connection.max_bits_per_s = this.settings.max_bits_per_s;
    this.take_address_();
    for (const name of ["shading", "outlines", "path", "grid", "backfaces", "up", "panel", "counters"] as const) this.changed(name);
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

  // -- what actions do

  /// Puts what is shown into view.
  fit(): void {
    this.controls.follow(false);
    this.controls.frame(this.scene.world_points(framed_points), this.insets_());
  }

  /// The view that the page begins with: from behind the newest camera, looking its way, everything in view.
  start_view(jump: boolean): void {
    const leader = this.leader();
    if (leader) this.controls.face(leader.forward, jump);
    this.controls.frame(this.scene.world_points(framed_points), this.insets_(), jump);
  }

  leader(): outlook | undefined {
    return this.cameras.newest && this.scene.outlook_of(this.cameras.newest.pose);
  }

  get bare(): boolean {
    return this.root_.classList.contains("bare");
  }

  set_bare(on: boolean): void {
    this.root_.classList.toggle("bare", on);
  }

  get cutting(): boolean {
    return this.cut_ !== undefined;
  }

  /// Begins to cut, with everything still shown, or shows everything again.
  cut(on: boolean): void {
    const whole = this.scene.world_bounds();
    if (on && whole.isEmpty()) this.toasts.say("There is nothing to cut yet.");
    else this.apply_cut_(on ? whole.expandByScalar(1e-3) : undefined);
  }

  /// What a setting means, after it was changed.
  changed(name: keyof settings): void {
    const s = this.settings, scene = this.scene;
    if (name === "shading") scene.surfaces.material.set_shading(s.shading);
    else if (name === "outlines") scene.outlines.lines.visible = s.outlines;
    else if (name === "path") scene.path.group.visible = s.path;
    else if (name === "grid") scene.show_grid(s.grid);
    else if (name === "backfaces") scene.surfaces.material.set_backfaces(s.backfaces);
    else if (name === "up") this.orient_(true);
    else if (name === "max_bits_per_s") {
      this.stream.connection.max_bits_per_s = s.max_bits_per_s;
      this.stream.connection.resubscribe();
    } else if (name === "panel") this.panel_.element.classList.toggle("hidden", !s.panel);
    else if (name === "counters") this.counters_.element.classList.toggle("hidden", !s.counters);
    save_settings(s);
    this.reflect_();
  }

  async save(format: "glb" | "ply"): Promise<void> {
    if (!this.stream.hello || !this.scene.surfaces.size) {
      this.toasts.say("There is nothing to save yet.");
      return;
    }
    this.toasts.say(`Writing ${format.toUpperCase()} …`, "calm", 2000);
    await new Promise((done) => setTimeout(done, 50));
    try {
      this.toasts.say(save_mesh(this.scene, this.stream.hello, format));
    } catch (error) {
      this.toasts.say(`The map could not be saved: ${error instanceof Error ? error.message : String(error)}. Free memory, or use GET /v1/mesh.${format}.`, "bad", 10_000);
    }
  }

  async picture(): Promise<void> {
    try {
      this.scene.draw();
      await save_picture(this.scene.canvas, (to, scale) => this.marks_.paint(to, scale, (v) => this.scene.on_screen(v), `#${style_colour("--mark").convertSRGBToLinear().getHexString()}`));
    } catch (error) {
      this.toasts.say(`No picture: ${error instanceof Error ? error.message : String(error)}.`, "bad");
    }
  }

  // -- the map

  private begin_(another: boolean): void {
    this.dirty_ = true;
    if (!another) return;
    this.toasts.say("The service began a new map.");
    this.inspection.clear();
    this.level_.clear();
    this.apply_cut_(undefined);
    this.framed_radius_ = 0;
    this.faced_ = false;
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
    if (changed) this.grown_();
    if (this.scene.path.update(this.cameras, this.frustum_size_(), performance.now())) this.dirty_ = true;
    this.moving_ = this.controls.update(dt_s, this.leader());
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

  // -- view

  private frustum_size_(): number {
    const voxel = this.stream.hello?.voxel_m ?? 0.05;
    const radius = this.scene.world_sphere()?.radius ?? 10 * voxel;
    return Math.max(4 * voxel, 0.06 * radius);
  }

  /// Turns the map upright. While the user looks, only for a difference that is worth it; the eye turns with the map, so that his view stays.
  private orient_(now = false): void {
    const held = this.controls.touched && !now;
    if (held && this.gestures_.idle_ms(performance.now()) < hands_off_ms) return;
    const next = new Quaternion(...upright_of(this.level_.up(this.settings.up)));
    if (next.angleTo(this.scene.upright) > (held ? worth_turning : 1e-4)) this.turned_(this.scene.set_upright(next));
  }

  private turned_(turn: Quaternion): void {
    const kept = this.kept_.restored;
    if (kept) this.controls.set_view(this.outlook_of_(kept.eye, kept.forward, kept.distance), kept.mode);
    else this.controls.turn_with(turn);
    if (this.cut_) this.apply_cut_(undefined);
    this.inspection.mark();
    this.framed_radius_ = 0;
    this.dirty_ = true;
  }

  private outlook_of_(eye: [number, number, number], forward: [number, number, number], distance: number): outlook & { distance: number } {
    return { position: this.scene.to_world(eye), forward: this.scene.to_world(forward), distance };
  }

  private grown_(): void {
    const sphere = this.scene.world_sphere();
    if (!sphere) return;
    this.controls.set_radius(sphere.radius);
    if (!this.controls.touched) this.refit_(sphere.radius);
  }

  /// Until the user takes over, the whole map stays in view as it grows.
  private refit_(radius: number): void {
    const first = this.framed_radius_ === 0;
    if (!first && radius < this.framed_radius_ * 1.04 && radius > this.framed_radius_ * 0.7) return;
    if (first || !this.faced_) this.orient_();
    this.framed_radius_ = radius;
    if (!this.faced_) {
      this.faced_ = this.cameras.newest !== undefined;
      this.start_view(true);
    } else this.controls.frame(this.scene.world_points(framed_points), this.insets_(), first);
  }

  /// What panels cover of the picture, pixels.
  private insets_(): insets {
    if (narrow.matches) return { left: 0, right: 0, top: 52, bottom: 64 };
    return { left: 0, right: this.settings.panel ? 272 : 0, top: 56, bottom: 16 };
  }

  private set_cut_([low, high]: box): void {
    this.cut_ = new Box3(new Vector3(...low), new Vector3(...high));
    this.scene.set_clip(this.cut_);
    this.dirty_ = true;
  }

  private apply_cut_(cut: Box3 | undefined): void {
    this.cut_ = cut;
    this.scene.set_clip(cut);
    this.cut_panel_.element.classList.toggle("hidden", !cut);
    this.root_.classList.toggle("cutting", cut !== undefined);
    if (cut) {
      const whole = this.scene.world_bounds().union(cut);
      this.cut_panel_.show([whole.min.toArray(), whole.max.toArray()], [cut.min.toArray(), cut.max.toArray()]);
    }
    this.dirty_ = true;
  }

  // -- the page's address

  private take_address_(): void {
    const s = this.kept_.read();
    if (!s) return;
    if (s.shading) {
      this.settings.shading = s.shading;
      this.changed("shading");
    }
    if (s.clip) this.apply_cut_(new Box3(new Vector3(...s.clip[0]), new Vector3(...s.clip[1])));
    if (s.following) this.controls.follow(true);
    else if (s.view) {
      this.controls.touched = true;
      this.controls.set_view(this.outlook_of_(s.view.eye, s.view.forward, s.view.distance), s.view.mode);
    }
  }

  private keep_address_(): void {
    const v = this.controls.view;
    this.kept_.write({
      view: this.controls.touched ? { eye: this.scene.to_map(v.position), forward: this.scene.to_map(v.forward), distance: v.distance, mode: this.controls.mode } : undefined,
      shading: this.settings.shading,
      following: this.controls.following,
      clip: this.cut_ && [this.cut_.min.toArray(), this.cut_.max.toArray()],
    });
  }

  // -- words and numbers

  private reflect_(): void {
    this.tools_.show();
    this.panel_.show(this.level_.source);
    this.stick_.element.classList.toggle("hidden", this.controls.mode !== "fly" || !fingers.matches);
    this.scene.canvas.classList.toggle("picking", this.inspection.tool !== "none");
    this.show_legend_();
    this.dirty_ = true;
  }

  private show_legend_(): void {
    const m = this.stream?.hello;
    this.legend_.show(this.settings.shading, {
      heights: [0, this.heights_[1] - this.heights_[0]], region_m: m ? m.voxel_m * m.region_voxels : 0, region_voxels: m?.region_voxels ?? 0, regions: this.scene.surfaces.size,
    });
  }

  /// Heights from the lowest to the highest point, without the outermost few.
  private measure_heights_(): void {
    if (this.settings.shading !== "height" || !this.scene.surfaces.size) return;
    const points = this.scene.world_points(4000), heights = new Float32Array(points.length / 3);
    if (!heights.length) return;
    for (let i = 0; i < heights.length; i++) heights[i] = points[3 * i + 1];
    heights.sort();
    const at = (f: number): number => heights[Math.min(heights.length - 1, Math.floor(f * heights.length))];
    const next: [number, number] = [at(0.005), at(0.995)];
    const span = Math.max(1e-6, next[1] - next[0]);
    if (Math.abs(next[0] - this.heights_[0]) + Math.abs(next[1] - this.heights_[1]) < 0.01 * span) return;
    this.heights_ = next;
    this.scene.surfaces.material.set_heights(...next);
    this.dirty_ = true;
  }

  /// In the shading of regions, the one under the pointer is named.
  private name_region_(e: PointerEvent): void {
    const canvas = this.scene.canvas;
    if (this.settings.shading !== "region" || e.buttons || e.pointerType === "touch") {
      if (canvas.title) canvas.removeAttribute("title");
      return;
    }
    const box = canvas.getBoundingClientRect();
    const hit = this.scene.pick(new Vector2(((e.clientX - box.left) / box.width) * 2 - 1, 1 - ((e.clientY - box.top) / box.height) * 2));
    const words = hit ? `Region ${hit.region.join(", ")}` : "";
    if (canvas.title !== words) canvas.title = words;
  }

  private tell_(): void {
    const s = this.state_, stream = this.stream as map_stream | undefined;
    const live = s.name === "live", asked = s.name === "waiting" && s.cause === "token";
    const words = live ? "Live" : s.name === "connecting" ? "Connecting" : asked ? (this.address_.token ? "Token refused" : "Token needed") : "Offline";
    this.status_.dataset["state"] = live ? "live" : s.name === "connecting" ? "connecting" : "offline";
    const wait_s = s.name === "waiting" && Number.isFinite(s.retry_ms) ? Math.max(0, Math.ceil((s.retry_ms - now_ms()) / 1000)) : 0;
    this.status_text_.textContent = wait_s > 0 ? `${words} · retry in ${wait_s} s` : words;
    const hello = stream?.hello;
    this.status_.title = hello ? `${hello.server} · voxel ${hello.voxel_m} m · map ${hello.epoch}` : this.address_.host;
    const empty = this.scene.surfaces.size === 0 && (stream?.depth ?? 0) === 0;
    const as = empty || asked ? "card" : "strip";
    if (this.context_lost_) this.notices_.show(lost_webgl_notice, "card");
    else if (stream?.decoder_missing) this.notices_.show(no_decoder_notice, as);
    else if (s.name === "waiting") this.notices_.show(waiting_notice(s, this.address_, () => stream?.connection.retry_now()), as);
    else if (live && stream?.stats?.shortage) this.notices_.show(shortage_notice(stream.stats.shortage), as);
    else if (live && empty && stream?.stats && stream.stats.triangles === 0) this.notices_.show(empty_notice(this.address_), "card");
    else if (live || empty) this.notices_.show(undefined, as);
  }

  private count_(): void {
    const now = performance.now(), stats = this.stream.stats, surfaces = this.scene.surfaces;
    this.frames_ = this.frames_.filter((t) => now - t <= 1000);
    this.counters_.update({
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
    this.orient_();
    this.measure_heights_();
    this.keep_address_();
    this.tools_.show();
    this.panel_.show(this.level_.source);
    this.show_legend_();
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
      pipeline: s.depth,
      uploads: 0,
      decode_failures: s.failures,
      frames_last_second: this.frames_.length,
      worst_frame_ms: worst,
      gpu: this.scene.info,
      stats: s.stats && { ...s.stats, time_ns: s.stats.time_ns.toString() },
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
