// The map as it comes from the service: connection, ledger, decoding, and the frames in which regions go on screen.

import type { camera_set } from "../scene/cameras";
import cells_worker from "./cells.worker?worker&inline";
import { cells_pool } from "./cells_pool";
import { clock_offset, ms_of, now_ms } from "./clock";
import { connection, type connection_state, type service_address } from "./connection";
import { mesh_decoder } from "./decoder";
import { as_held, ledger } from "./ledger";
import { percentile_meter, rate_meter } from "./meter";
import { pipeline, type pipeline_parts, type ready_patch } from "./pipeline";
import { type held_patch, type hello, type patch, type region, region_text, type stats, type talk, view_frame } from "./protocol";
import type { map_scene } from "../scene/scene";
import type { shaper_answer } from "./shaper.worker";
import shaper_worker from "./shaper.worker?worker&inline";
import { upload_queue } from "./uploads";

export interface stream_events {
  state(s: connection_state): void;
  /// A map begins: after the first greeting, and when the service began another one (everything shown was dropped).
  map(h: hello, another: boolean): void;
  cameras(): void;
  stats(s: stats): void;
  /// Something the user should know.
  complain(words: string): void;
}

const view_every_ms = 250;

function shaper_parts(worker: Worker): pipeline_parts["shaper"] {
  return {
    post: (request, moved) => worker.postMessage(request, moved),
    on_answer: (listener) => (worker.onmessage = (e: MessageEvent<shaper_answer>) => listener(e.data)),
  };
}

export class map_stream {
  readonly connection: connection;
  readonly ledger = new ledger();
  readonly clock = new clock_offset();
  readonly received = new rate_meter();
  readonly latency = new percentile_meter();
  hello: hello | undefined;
  stats: stats | undefined;
  /// Patches that could not be decoded.
  failures = 0;
  /// No patch can be: the decoder could not be loaded.
  decoder_missing = false;
  private uploads_ = new upload_queue();
  private decoder_ = new mesh_decoder();
  /// The workers' programs are part of this one: a page may not start a worker from another site's file.
  private cells_ = new cells_pool(this.decoder_.workers, () => new cells_worker());
  private shaper_ = new shaper_worker();
  private pipeline_: pipeline;
  private acks_: held_patch[] = [];
  /// Regions to be asked for whole.
  private lost_: region[] = [];
  private shown_: patch[] = [];
  /// Service time at which this stream began: latency is told only of keyframes received after that.
  private live_since_ns_ = 0n;
  private last_view_ = "";
  private last_view_ms_ = 0;

  constructor(
    address: service_address,
    private readonly scene_: map_scene,
    private readonly cameras_: camera_set,
    private readonly events_: stream_events,
  ) {
    this.pipeline_ = new pipeline(
      { decoder: this.decoder_, cells: this.cells_, shaper: shaper_parts(this.shaper_) },
      {
        superseded: (p) => this.acks_.push(as_held(p.region, p.version)),
        ready: (r) => this.uploads_.add(r, { superseded: (old) =>
          this.acks_.push(as_held(old.patch.region, old.patch.version)) }),
        failed: (p, reason, missing) => this.failed_(p, reason, missing),
        lost: (at) => this.lose_(at),
      },
    );
    this.connection = new connection(address, {
      state: (s) => events_.state(s),
      hello: (m) => this.greet_(m),
      talk: (m) => this.listen_(m),
      patch: (p) => this.take_(p),
      bad_frame: (reason) => events_.complain(`A message from the service made no sense and was left out: ${reason}`),
      received: (bytes) => this.received.add(bytes, now_ms()),
      have: () => ({ epoch: this.ledger.epoch, have: this.ledger.have() }),
      unnamed: (regions) => this.drop_(regions),
    });
  }

  /// Ends connection and workers, for good.
  end(): void {
    this.connection.stop();
    this.pipeline_.reset();
    this.decoder_.end();
    this.cells_.end();
    this.shaper_.terminate();
  }

  /// Patches that are here but not on screen: all, those being decoded, those that wait for a frame.
  get depth(): number {
    return this.pipeline_depth + this.upload_depth;
  }
  get pipeline_depth(): number {
    return this.pipeline_.depth;
  }
  get upload_depth(): number {
    return this.uploads_.size;
  }

  /// Puts on screen what a frame has time for; true if anything changed. A frame of a 60th of a second takes on so much, a longer
  /// one more, so that slow screens do not fall behind.
  advance(dt_s: number): boolean {
    const frames = Math.min(8, Math.max(1, dt_s * 60));
    return this.uploads_.run(
      { patches: Math.round(6 * frames), bytes: frames * (3 << 20), ms: 4 * frames },
      { show: (r) => this.show_(r), update_border: (u) => this.scene_.surfaces.update_border(u), superseded: () => {} },
    );
  }

  /// After the frame: tells the service what is on screen, and takes the time.
  drawn(): void {
    const now = now_ms();
    for (const p of this.shown_) {
      const late_ms = this.clock.since_ms(ms_of(p.received_ns), now);
      if (this.live_since_ns_ > 0n && p.received_ns > this.live_since_ns_ && late_ms !== undefined)
        this.latency.add(late_ms, now);
    }
    this.shown_ = [];
    if (this.acks_.length) {
      this.connection.acknowledge(this.acks_);
      this.acks_ = [];
    }
    if (this.lost_.length) {
      this.connection.lose(this.lost_); // after what was acknowledged of them
      this.lost_ = [];
    }
    this.look_();
  }

  private drop_(regions: held_patch[]): void {
    for (const [x, y, z] of regions) {
      this.ledger.drop(region_text([x, y, z]));
      this.cells_.forget([x, y, z]);
      this.scene_.surfaces.remove([x, y, z]);
      this.scene_.outlines.remove([x, y, z]);
    }
  }

  private greet_(m: hello): void {
    const first = this.hello === undefined;
    const another = this.ledger.enter(m.epoch);
    if (another) {
      this.pipeline_.reset();
      this.uploads_.clear();
      this.scene_.surfaces.clear();
      this.scene_.outlines.clear();
      this.cameras_.clear();
    } else if (!first) this.cameras_.renew();
    this.hello = m;
    this.live_since_ns_ = 0n;
    this.stats = undefined;
    this.acks_ = [];
    this.lost_ = [];
    this.last_view_ = "";
    this.cells_.region_voxels = m.region_voxels;
    this.scene_.set_quantum(m.quantum_m);
    this.scene_.set_edge(m.voxel_m * m.region_voxels);
    if (first || another) this.events_.map(m, another);
  }

  private listen_(m: talk): void {
    if (m.type === "stats") {
      if (this.live_since_ns_ === 0n) {
        this.live_since_ns_ = m.time_ns;
        this.clock.clear();
      }
      this.clock.add(m.time_ns, now_ms());
      this.stats = m;
      if (this.cameras_.counted()) this.events_.cameras();
      this.events_.stats(m);
    } else if (m.type === "cameras") {
      this.cameras_.take(m);
      this.events_.cameras();
    } else if (m.type === "error") this.events_.complain(`The service says: ${m.message}`);
  }

  private take_(p: patch): void {
    if (this.ledger.receive(p)) this.pipeline_.push(p);
    else this.acks_.push(as_held(p.region, p.version));
  }

  private failed_(p: patch, reason: string, missing: boolean): void {
    this.ledger.fail(p.key, p.version);
    this.acks_.push(as_held(p.region, p.version));
    this.failures++;
    if (missing) this.decoder_missing = true;
    else this.events_.complain(`Region ${p.region.join(", ")} could not be decoded and keeps its last shape: ${reason}`);
  }

  private lose_(at: region): void {
    this.ledger.lose(region_text(at));
    this.lost_.push(at);
  }

  private show_(r: ready_patch): void {
    const p = r.patch;
    this.acks_.push(as_held(p.region, p.version));
    if (!this.ledger.show(p.key, p.version)) return;
    if (r.shaped) {
      this.scene_.surfaces.replace(p.region, p.version.toString(), r.shaped, ms_of(p.received_ns));
      this.scene_.outlines.touch(p.region);
      this.shown_.push(p);
    } else {
      this.scene_.surfaces.remove(p.region);
      this.scene_.outlines.remove(p.region);
    }
  }

  /// Tells the service where the eye is, so that it sends first what is looked at.
  private look_(): void {
    const now = performance.now();
    if (now - this.last_view_ms_ < view_every_ms) return;
    const eye = this.scene_.eye_in_map();
    const round = (v: number[]): number[] => v.map((x) => Math.round(x * 1e4) / 1e4);
    const frame = view_frame(round(eye.position), round(eye.direction));
    if (frame === this.last_view_) return;
    if (this.connection.send(frame)) {
      this.last_view_ms_ = now;
      this.last_view_ = frame;
    }
  }
}
