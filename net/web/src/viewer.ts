// The viewer page: joins the connection, the pipeline, the scene and the panels.

import { camera_set } from "./cameras";
import { clock_offset, ms_of, now_ms } from "./clock";
import { connection, type connection_state, service_address_of } from "./connection";
import { travel_controls } from "./controls";
import { mesh_decoder } from "./decoder";
import { to_glb } from "./export_glb";
import { join_regions } from "./export_mesh";
import { to_ply } from "./export_ply";
import { as_held, ledger } from "./ledger";
import { percentile_meter, rate_meter } from "./meter";
import { axis_of, type vector } from "./orientation";
import { pixel_ratio } from "./pixel_ratio";
import { pipeline, type pipeline_parts, type ready_patch } from "./pipeline";
import { ack_frame, type held_patch, type hello, type patch, type stats, type talk, view_frame } from "./protocol";
import { map_scene, no_webgl } from "./scene";
import { load_settings, save_settings, type settings, shadings } from "./settings";
import type { shaper_answer } from "./shaper.worker";
import { counters_panel } from "./ui/counters";
import { h } from "./ui/dom";
import { help_sheet } from "./ui/help";
import { age_legend } from "./ui/legend";
import { notice_area, toasts } from "./ui/notice";
import { type tool, toolbar } from "./ui/toolbar";
import { view_panel } from "./ui/view_panel";
import { type frame_budget, upload_queue } from "./uploads";
import { empty_notice, lost_webgl_notice, no_decoder_notice, no_webgl_notice, waiting_notice } from "./words";
import "./style.css";

/// What a frame of a 60th of a second takes on; a longer one takes on more, so that slow screens do not fall behind.
const budget_of = (frame_s: number): frame_budget => {
  const frames = Math.min(8, Math.max(1, frame_s * 60));
  return { patches: Math.round(6 * frames), bytes: frames * (3 << 20), ms: 4 * frames };
};
const view_every_ms = 250;

function shaper_parts(): pipeline_parts["shaper"] {
  const worker = new Worker(new URL("./shaper.worker.ts", import.meta.url), { type: "module" });
  return {
    post: (request, moved) => worker.postMessage(request, moved),
    on_answer: (listener) => (worker.onmessage = (e: MessageEvent<shaper_answer>) => listener(e.data)),
  };
}

class viewer {
  private settings_ = load_settings(matchMedia("(max-width: 720px)").matches);
  private address_ = service_address_of(new URL(location.href));
  private ledger_ = new ledger();
  private cameras_ = new camera_set();
  private clock_ = new clock_offset();
  private uploads_ = new upload_queue();
  private received_ = new rate_meter();
  private latency_ = new percentile_meter();
  private pipeline_: pipeline;
  private connection_: connection;
  private controls_: travel_controls;
  private hello_: hello | undefined;
  private stats_: stats | undefined;
  private state_: connection_state = { name: "connecting" };
  /// Service time at which this stream began: latency is told only of keyframes received after that.
  private live_since_ns_ = 0n;
  private acks_: held_patch[] = [];
  private dirty_ = true;
  private pixels_ = new pixel_ratio(devicePixelRatio);
  private frames_: number[] = [];
  private worst_frame_ms_ = 0;
  private last_frame_ms_ = 0;
  private last_view_ms_ = 0;
  private last_view_ = "";
  private failures_ = 0;
  private decoder_missing_ = false;
  private context_lost_ = false;
  private bare_ = false;
  private fitted_radius_ = 0;

  private status_text_ = h("span", {}, "Connecting");
  private status_ = h("div", { class: "panel status" }, h("span", { class: "brand" }, "Tessera"), h("span", { class: "dot" }), this.status_text_);
  private counters_ = new counters_panel();
  private notices_ = new notice_area();
  private toasts_ = new toasts();
  private help_ = new help_sheet();
  private legend_ = age_legend();
  private panel_: view_panel;
  private tools_: toolbar;

  constructor(
    private readonly scene_: map_scene,
    private readonly root_: HTMLElement,
  ) {
    this.panel_ = new view_panel(this.settings_, {
      changed: (name) => this.apply_(name),
      save: (format) => void this.save_(format),
      close: () => this.use_("panel"),
    });
    this.tools_ = new toolbar((t) => this.use_(t), `console${location.search}`);
    root_.append(this.status_, this.tools_.element, this.counters_.element, this.panel_.element, this.legend_, this.notices_.element, this.toasts_.element, this.help_.element);

    this.controls_ = new travel_controls(scene_.camera, scene_.canvas);
    this.controls_.on_change = () => this.moved_();
    this.controls_.pick = (at) => scene_.pick(at);
    scene_.on_resize = () => (this.dirty_ = true);
    scene_.surfaces.since_ms = (service_ms) => this.clock_.since_ms(service_ms, now_ms());
    scene_.set_pixel_ratio(this.pixels_.value);
    scene_.on_context = (there) => {
      this.context_lost_ = !there;
      this.dirty_ = true;
      this.tell_();
    };

    this.pipeline_ = new pipeline(
      { decoder: new mesh_decoder(), shaper: shaper_parts() },
      {
        superseded: (p) => this.acks_.push(as_held(p.region, p.version)),
        ready: (r) => this.uploads_.add(r, { superseded: (old) => this.acks_.push(as_held(old.patch.region, old.patch.version)) }),
        failed: (p, reason, missing) => this.failed_(p, reason, missing),
      },
    );
    this.connection_ = new connection(this.address_, {
      state: (s) => this.connected_(s),
      hello: (m) => this.greet_(m),
      talk: (m) => this.listen_(m),
      patch: (p) => this.take_(p),
      bad_frame: (reason) => this.toasts_.say(`A message from the service made no sense and was left out: ${reason}`, "bad", 8000),
      received: (bytes) => this.received_.add(bytes, now_ms()),
      have: () => ({ epoch: this.ledger_.epoch, have: this.ledger_.have() }),
    });
    this.connection_.max_bits_per_s = this.settings_.max_bits_per_s;
    for (const name of ["shading", "outlines", "path", "grid", "backfaces", "up", "panel", "counters"] as const) this.apply_(name);
    window.addEventListener("keydown", (e) => this.key_(e));
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.connection_.retry_now();
    });
    window.addEventListener("online", () => this.connection_.retry_now());
    this.connection_.start();
    setInterval(() => this.count_(), 500);
    requestAnimationFrame((t) => this.frame_(t));
  }

  // -- the stream

  private connected_(s: connection_state): void {
    this.state_ = s;
    this.tell_();
  }

  private greet_(m: hello): void {
    const first = this.hello_ === undefined;
    if (this.ledger_.enter(m.epoch)) {
      this.drop_map_();
      this.toasts_.say("The service began a new map.");
    }
    this.hello_ = m;
    this.live_since_ns_ = 0n;
    this.stats_ = undefined;
    this.acks_ = [];
    this.last_view_ = "";
    this.scene_.set_quantum(m.quantum_m);
    this.scene_.outlines.set_edge(m.voxel_m * m.region_voxels);
    if (!first) this.dirty_ = true;
  }

  private drop_map_(): void {
    this.pipeline_.reset();
    this.uploads_.clear();
    this.scene_.surfaces.clear();
    this.scene_.outlines.clear();
    this.cameras_.clear();
    this.acks_ = [];
    this.fitted_radius_ = 0;
    this.dirty_ = true;
  }

  private listen_(m: talk): void {
    if (m.type === "stats") {
      if (this.live_since_ns_ === 0n) {
        this.live_since_ns_ = m.time_ns;
        this.clock_.clear();
      }
      this.clock_.add(m.time_ns, now_ms());
      this.stats_ = m;
      this.tell_();
    } else if (m.type === "cameras") {
      this.cameras_.take(m);
      this.orient_();
      this.dirty_ = true;
    } else if (m.type === "error") this.toasts_.say(`The service says: ${m.message}`, "bad", 8000);
  }

  private take_(p: patch): void {
    if (this.ledger_.receive(p)) this.pipeline_.push(p);
    else this.acks_.push(as_held(p.region, p.version));
  }

  private failed_(p: patch, reason: string, missing: boolean): void {
    this.ledger_.fail(p.key, p.version);
    this.acks_.push(as_held(p.region, p.version));
    this.failures_++;
    if (missing) {
      this.decoder_missing_ = true;
      this.tell_();
    } else this.toasts_.say(`Region ${p.region.join(", ")} could not be decoded and keeps its last shape: ${reason}`, "bad", 8000);
  }

  // -- frames

  private show_(r: ready_patch, shown: patch[]): void {
    const p = r.patch;
    this.acks_.push(as_held(p.region, p.version));
    if (!this.ledger_.show(p.key, p.version)) return;
    if (r.shaped) {
      this.scene_.surfaces.replace(p.region, p.version.toString(), r.shaped, ms_of(p.received_ns));
      this.scene_.outlines.touch(p.region);
      shown.push(p);
    } else {
      this.scene_.surfaces.remove(p.region);
      this.scene_.outlines.remove(p.region);
    }
  }

  private frame_(t: number): void {
    requestAnimationFrame((next) => this.frame_(next));
    if (this.context_lost_) return;
    const dt_s = Math.min(0.25, Math.max(0, (t - this.last_frame_ms_) / 1000));
    const ran_on = this.frames_.length > 0 && this.frames_[this.frames_.length - 1] === this.last_frame_ms_;
    if (ran_on) {
      this.worst_frame_ms_ = Math.max(this.worst_frame_ms_, t - this.last_frame_ms_);
      if (this.pixels_.frame(t - this.last_frame_ms_)) this.scene_.set_pixel_ratio(this.pixels_.value);
    }
    this.last_frame_ms_ = t;

    const shown: patch[] = [];
    const changed = this.uploads_.run(budget_of(dt_s), {
      show: (r) => this.show_(r, shown),
      update_border: (u) => this.scene_.surfaces.update_border(u),
      superseded: () => {},
    });
    if (changed) this.refit_();
    if (this.scene_.path.update(this.cameras_, this.frustum_size_(), performance.now())) this.dirty_ = true;
    const moving = this.controls_.update(dt_s, this.scene_.leader(this.cameras_));
    const ages = this.settings_.shading === "age" && this.scene_.surfaces.size > 0;
    const glow = this.settings_.outlines && performance.now() / 1000 < this.scene_.outlines.glowing_until_s;
    if (changed || moving || this.dirty_ || ages || glow || this.controls_.busy) {
      this.dirty_ = false;
      this.scene_.draw();
      this.frames_.push(t);
    }
    this.drawn_(shown);
    this.look_();
  }

  /// After the frame: tells the service what is on screen, and takes the time.
  private drawn_(shown: patch[]): void {
    const now = now_ms();
    for (const p of shown) {
      const late_ms = this.clock_.since_ms(ms_of(p.received_ns), now);
      if (this.live_since_ns_ > 0n && p.received_ns > this.live_since_ns_ && late_ms !== undefined) this.latency_.add(late_ms, now);
    }
    if (!this.acks_.length) return;
    this.connection_.send(ack_frame(this.acks_));
    this.acks_ = [];
  }

  private look_(): void {
    const now = performance.now();
    if (now - this.last_view_ms_ < view_every_ms) return;
    const eye = this.scene_.eye_in_map();
    const round = (v: vector): number[] => v.map((x) => Math.round(x * 1e4) / 1e4);
    const frame = view_frame(round(eye.position), round(eye.direction));
    if (frame === this.last_view_) return;
    if (this.connection_.send(frame)) {
      this.last_view_ms_ = now;
      this.last_view_ = frame;
    }
  }

  // -- view

  private frustum_size_(): number {
    const voxel = this.hello_?.voxel_m ?? 0.05;
    const radius = this.scene_.world_sphere()?.radius ?? 10 * voxel;
    return Math.max(4 * voxel, 0.07 * radius);
  }

  private orient_(): void {
    const up = this.settings_.up === "auto" ? this.cameras_.up.up : axis_of(this.settings_.up);
    if (!this.scene_.set_up(up)) return;
    this.fitted_radius_ = 0;
    this.refit_();
    this.dirty_ = true;
  }

  /// Until the user takes over, the whole map stays in view as it grows.
  private refit_(): void {
    const sphere = this.scene_.world_sphere();
    if (!sphere) return;
    this.controls_.set_radius(sphere.radius);
    if (this.controls_.touched) return;
    if (sphere.radius < this.fitted_radius_ * 1.04 && sphere.radius > this.fitted_radius_ * 0.7) return;
    this.controls_.fit(sphere.center, sphere.radius, this.fitted_radius_ === 0);
    this.fitted_radius_ = sphere.radius;
  }

  private moved_(): void {
    this.dirty_ = true;
    this.tools_.press("follow", this.controls_.following);
    this.tools_.press("travel", this.controls_.mode === "fly");
  }

  private apply_(name: keyof settings): void {
    const s = this.settings_;
    if (name === "shading") {
      this.scene_.surfaces.material.set_shading(s.shading);
      this.legend_.classList.toggle("hidden", s.shading !== "age");
    } else if (name === "outlines") this.scene_.outlines.lines.visible = s.outlines;
    else if (name === "path") this.scene_.path.group.visible = s.path;
    else if (name === "grid") this.scene_.show_grid(s.grid);
    else if (name === "backfaces") this.scene_.surfaces.material.set_backfaces(s.backfaces);
    else if (name === "up") this.orient_();
    else if (name === "max_bits_per_s") {
      this.connection_.max_bits_per_s = s.max_bits_per_s;
      this.connection_.resubscribe();
    } else if (name === "panel") {
      this.panel_.element.classList.toggle("hidden", !s.panel);
      this.tools_.press("panel", s.panel);
    } else if (name === "counters") {
      this.counters_.element.classList.toggle("hidden", !s.counters);
      this.tools_.press("counters", s.counters);
    }
    this.panel_.show();
    save_settings(s);
    this.dirty_ = true;
  }

  private use_(t: tool): void {
    if (t === "fit") {
      const sphere = this.scene_.world_sphere();
      this.controls_.follow(false);
      if (sphere) this.controls_.fit(sphere.center, sphere.radius);
    } else if (t === "follow") {
      if (!this.controls_.following && !this.cameras_.newest) this.toasts_.say("There is no camera to follow yet.");
      else this.controls_.follow(!this.controls_.following);
    } else if (t === "travel") {
      this.controls_.follow(false);
      this.controls_.set_mode(this.controls_.mode === "fly" ? "orbit" : "fly");
      this.toasts_.say(this.controls_.mode === "fly" ? "Fly: drag to look, W A S D to move, Q and E for height." : "Orbit: drag to turn, wheel to zoom.", "calm", 3000);
    } else if (t === "help") this.help_.toggle();
    else {
      this.settings_[t] = !this.settings_[t];
      this.apply_(t);
    }
    this.moved_();
  }

  private key_(e: KeyboardEvent): void {
    if (e.ctrlKey || e.metaKey || e.altKey || e.repeat) return;
    if (e.target instanceof HTMLElement && e.target.closest("select, textarea, input:not([type=checkbox])")) return;
    const tools: Record<string, tool> = { f: "fit", c: "follow", v: "travel", n: "counters", m: "panel", "?": "help" };
    const switches: Record<string, "outlines" | "path" | "grid" | "backfaces"> = { o: "outlines", p: "path", g: "grid", b: "backfaces" };
    const key = e.key.toLowerCase();
    if (tools[key]) this.use_(tools[key]);
    else if (switches[key]) {
      this.settings_[switches[key]] = !this.settings_[switches[key]];
      this.apply_(switches[key]);
    } else if (/^[1-6]$/.test(key)) {
      this.settings_.shading = shadings[Number(key) - 1];
      this.apply_("shading");
    } else if (key === "u") {
      this.bare_ = !this.bare_;
      this.root_.classList.toggle("bare", this.bare_);
    } else return;
    e.preventDefault();
  }

  // -- words and numbers

  private tell_(): void {
    const s = this.state_;
    const live = s.name === "live";
    const words = live ? "Live" : s.name === "connecting" ? "Connecting" : "Offline";
    this.status_.dataset["state"] = live ? "live" : s.name === "connecting" ? "connecting" : "offline";
    const wait_s = s.name === "waiting" ? Math.max(0, Math.ceil((s.retry_ms - now_ms()) / 1000)) : 0;
    this.status_text_.textContent = wait_s > 0 ? `${words} · retry in ${wait_s} s` : words;
    this.status_.title = this.hello_ ? `${this.hello_.server} · voxel ${this.hello_.voxel_m} m · map ${this.hello_.epoch}` : this.address_.host;
    const empty = this.scene_.surfaces.size === 0 && this.uploads_.size === 0 && this.pipeline_.depth === 0;
    const as = empty ? "card" : "strip";
    if (this.context_lost_) this.notices_.show(lost_webgl_notice, "card");
    else if (this.decoder_missing_) this.notices_.show(no_decoder_notice, as);
    else if (s.name === "waiting") this.notices_.show(waiting_notice(s, this.address_, () => this.connection_.retry_now()), as);
    else if (live && empty && this.stats_ && this.stats_.triangles === 0) this.notices_.show(empty_notice(this.address_), "card");
    else if (s.name === "live" || empty) this.notices_.show(undefined, as);
  }

  private count_(): void {
    const now = performance.now();
    this.frames_ = this.frames_.filter((t) => now - t <= 1000);
    this.counters_.update({
      fps: this.frames_.length || undefined,
      triangles: this.scene_.surfaces.triangles,
      regions: this.scene_.surfaces.size,
      server_regions: this.stats_?.regions,
      bytes_per_s: this.received_.per_second(now_ms()),
      bytes_total: this.received_.total,
      keyframes: this.stats_?.keyframes,
      keyframes_per_s: this.stats_?.keyframes_per_s,
      latency_ms: this.latency_.at([0.5, 0.99], now_ms()),
      pending: this.stats_?.pending,
      decoding: this.pipeline_.depth + this.uploads_.size,
      set_aside: this.stats_?.set_aside ?? 0,
      viewers: this.stats_?.viewers,
      geometry_bytes: this.scene_.surfaces.bytes,
    });
    this.tell_();
  }

  private async save_(format: "glb" | "ply"): Promise<void> {
    if (!this.hello_ || !this.scene_.surfaces.size) {
      this.toasts_.say("There is nothing to save yet.");
      return;
    }
    this.toasts_.say(`Writing ${format.toUpperCase()} …`, "calm", 2000);
    await new Promise((done) => setTimeout(done, 50));
    try {
      const mesh = join_regions(this.scene_.surfaces.meshes(), this.hello_.quantum_m);
      const by = `Tessera viewer; map ${this.hello_.epoch}, voxel ${this.hello_.voxel_m} m`;
      const q = this.scene_.upright;
      const blob = format === "ply" ? to_ply(mesh, by) : to_glb(mesh, [q.x, q.y, q.z, q.w], by);
      const stamp = new Date().toISOString().slice(0, 19).replace(/[:T]/g, "-");
      const link = h("a", { set: { href: URL.createObjectURL(blob), download: `tessera-${stamp}.${format}` } });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
      this.toasts_.say(`Saved ${(mesh.indices.length / 3).toLocaleString("en")} triangles, ${(blob.size / 1e6).toFixed(1)} MB.`);
    } catch (error) {
      this.toasts_.say(`The map could not be saved: ${error instanceof Error ? error.message : String(error)}. Free memory, or use GET /v1/mesh.${format}.`, "bad", 10_000);
    }
  }

  /// A look inside, for tests and the curious: `tessera.snapshot()` in the browser's console.
  snapshot(): Record<string, unknown> {
    const worst = this.worst_frame_ms_;
    this.worst_frame_ms_ = 0;
    return {
      state: this.state_.name,
      epoch: this.ledger_.epoch,
      have: this.ledger_.size,
      regions: this.scene_.surfaces.size,
      triangles: this.scene_.surfaces.triangles,
      vertices: this.scene_.surfaces.vertices,
      geometry_bytes: this.scene_.surfaces.bytes,
      cameras: this.cameras_.size,
      received_bytes: this.received_.total,
      latency_ms: this.latency_.at([0.5, 0.99], now_ms()),
      pipeline: this.pipeline_.depth,
      uploads: this.uploads_.size,
      decode_failures: this.failures_,
      frames_last_second: this.frames_.length,
      worst_frame_ms: worst,
      gpu: this.scene_.info,
      stats: this.stats_ && { ...this.stats_, time_ns: this.stats_.time_ns.toString() },
      up: this.cameras_.up.up,
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
