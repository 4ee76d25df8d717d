// The view of a map, and nothing around it: the stream, the scene, where the eye is, and the frames. The viewer's page puts its
// panels around one, <tessera-view> a line of words.

import { Vector3 } from "three";
import { camera_set } from "./scene/cameras";
import { travel_controls } from "./scene/controls";
import { map_cut } from "./scene/cut";
import type { insets } from "./scene/framing";
import { type gesture_rules, gestures } from "./scene/gestures";
import { pixel_ratio } from "./scene/pixel_ratio";
import type { map_scene } from "./scene/scene";
import { standpoint } from "./scene/standpoint";
import { now_ms } from "./stream/clock";
import type { connection_state, service_address } from "./stream/connection";
import type { region, stats } from "./stream/protocol";
import { map_stream } from "./stream/stream";
import { colour_key } from "./ui/colour_key";
import { row_of, type setting_name, setting_names, type settings } from "./ui/settings";
import { type view_link, write_view_link } from "./ui/view_link";

/// What is around it may override what is told here; nothing is before start().
export class map_view {
  readonly cameras = new camera_set();
  readonly controls: travel_controls;
  readonly standpoint: standpoint;
  readonly cut: map_cut;
  readonly stream: map_stream;
  readonly key: colour_key;
  state: connection_state = { name: "connecting" };
  context_lost = false;
  protected readonly gestures_: gestures;
  protected frames_: number[] = [];
  private ended_ = new AbortController();
  private beat_: ReturnType<typeof setInterval> | undefined;
  private dirty_ = true;
  private moving_ = false;
  private pixels_ = new pixel_ratio(devicePixelRatio);
  private worst_frame_ms_ = 0;
  private last_frame_ms_ = 0;

  constructor(
    readonly scene: map_scene,
    readonly address: service_address,
    readonly settings: settings,
    rules: Omit<gesture_rules, "signal">,
  ) {
    this.controls = new travel_controls(scene.camera, scene.canvas);
    this.controls.on_change = () => this.redraw();
    this.gestures_ = new gestures(this.controls, scene.canvas, { ...rules, signal: this.ended_.signal });
    this.gestures_.on_double_tap = (at) => {
      const hit = scene.pick(at);
      if (hit) this.controls.turn_around(hit.point);
    };
    this.cut = new map_cut(scene);
    this.cut.on_change = () => this.redraw();
    this.standpoint = new standpoint({
      scene, cameras: this.cameras, controls: this.controls, gestures: this.gestures_, settings,
      insets: () => this.insets(),
      held: () => this.cut.holds,
      turned: () => this.turned(),
    });
    this.key = new colour_key(scene, settings);
    this.stream = new map_stream(address, scene, this.cameras, {
      state: (s) => {
        this.state = s;
        this.tell();
      },
      map: (_m, another) => {
        this.redraw();
        if (another) this.begun_another();
      },
      cameras: () => this.redraw(),
      stats: () => this.tell(),
      complain: (words) => this.complain(words),
    });
    scene.on_resize = () => {
      this.standpoint.resized();
      this.redraw();
    };
    scene.surfaces.since_ms = (service_ms) => this.stream.clock.since_ms(service_ms, now_ms());
    scene.set_pixel_ratio(this.pixels_.value);
    scene.on_context = (there) => {
      this.context_lost = !there;
      this.redraw();
      this.tell();
    };
  }

  /// Pixels at the sides that something covers.
  insets(): insets {
    return { left: 0, right: 0, top: 0, bottom: 0 };
  }
  /// The state is another, or statistics came.
  tell(): void {}
  /// The service began another map: what was said of places of the old one is void.
  begun_another(): void {
    this.choose_region(undefined);
    this.cut.end();
    this.standpoint.forget();
  }
  /// The map was turned: what lies in world space must follow.
  turned(): void {}
  /// A frame was drawn.
  drawn(): void {}
  /// Something the user should know.
  complain(_words: string): void {}
  /// Twice a second.
  beat(): void {
    this.standpoint.orient();
    if (this.key.update(this.stream.hello)) this.redraw();
  }
  /// Shows or hides what is not the map, where there is such a thing.
  show_panel(_name: "counters" | "panel", _on: boolean): void {}

  /// Begins: the settings do what they mean, the stream opens, frames are drawn.
  start(): void {
    for (const name of setting_names) this.apply_(name);
    const { signal } = this.ended_;
    document.addEventListener("visibilitychange", () => !document.hidden && this.stream.connection.retry_now(), { signal });
    window.addEventListener("online", () => this.stream.connection.retry_now(), { signal });
    this.stream.connection.start();
    this.beat_ = setInterval(() => this.beat(), 500);
    requestAnimationFrame((t) => this.frame_(t));
  }

  /// Ends everything: no frame, no socket, no worker and nothing on the GPU is left.
  end(): void {
    this.ended_.abort();
    clearInterval(this.beat_);
    this.stream.end();
    this.scene.end();
  }

  redraw(): void {
    this.dirty_ = true;
  }

  /// Sets a setting, and does what it means.
  set<name extends setting_name>(name: name, value: settings[name]): void {
    this.settings[name] = value;
    this.apply_(name);
  }

  get region(): region | undefined {
    return this.scene.chosen.region;
  }

  /// Marks a region, or none.
  choose_region(at: region | undefined): void {
    this.scene.chosen.show(at);
    this.redraw();
  }

  /// Takes over what a link says; what it does not speak of stays.
  take(s: view_link): void {
    for (const name of setting_names) if (s.settings[name] !== undefined) this.set(name, s.settings[name]);
    this.choose_region(s.region);
    if (s.clip) this.cut.restore(s.clip);
    if (s.following) this.controls.follow(true);
    else if (s.view) this.standpoint.restore(s.view);
    else if (s.region) this.standpoint.attend(s.region);
  }

  /// What a link to this view says. Until the user takes over, `kept` has no eye: whoever comes later begins as this view did.
  kept(): view_link {
    return { view: this.standpoint.kept, settings: this.settings, following: this.controls.following, region: this.region,
      clip: this.cut.corners };
  }

  /// A link to the view as it is now.
  link(): string {
    return write_view_link({ ...this.kept(), view: this.standpoint.now });
  }

  private apply_<name extends setting_name>(name: name): void {
    (row_of(name).apply as (v: map_view, value: settings[name]) => void)(this, this.settings[name]);
    this.key.update(this.stream.hello);
    this.redraw();
  }

  private frame_(t: number): void {
    if (this.ended_.signal.aborted) return;
    requestAnimationFrame((next) => this.frame_(next));
    if (this.context_lost) return;
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
      this.drawn();
      this.frames_.push(t);
    }
    this.stream.drawn();
  }

  private frustum_size_(): number {
    const voxel = this.stream.hello?.voxel_m ?? 0.05;
    const radius = this.scene.world_sphere()?.radius ?? 10 * voxel;
    return Math.max(4 * voxel, 0.06 * radius);
  }

  /// Frames drawn in the last second.
  protected frames_per_s_(): number {
    const now = performance.now();
    this.frames_ = this.frames_.filter((t) => now - t <= 1000);
    return this.frames_.length;
  }

  /// A look inside, for tests and the curious: `tessera.snapshot()` in the browser's console.
  snapshot(): Record<string, unknown> {
    const worst = this.worst_frame_ms_;
    this.worst_frame_ms_ = 0;
    const s = this.stream, surfaces = this.scene.surfaces, eye = this.scene.eye_in_map();
    const stats: stats | undefined = s.stats;
    return {
      state: this.state.name,
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
      stats: stats && { ...stats, time_ns: stats.time_ns.toString() },
      /// Up, map frame: what the cameras say, and what is up on screen.
      up: this.cameras.up.up,
      shown_up: this.scene.to_map(new Vector3(0, 1, 0)),
      upright: this.scene.upright.toArray(),
      eye: eye.position,
      looks: eye.direction,
      region: this.region,
      /// The view is on its way, or a frame is due.
      moving: this.moving_ || this.dirty_,
      mode: this.controls.mode,
    };
  }
}
