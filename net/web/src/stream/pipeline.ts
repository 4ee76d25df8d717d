// A patch's way from the wire to the scene: decode (DRACOLoader's workers), shape (our worker), then wait for a frame with time
// for it. At most one patch of a region is in work and the newest of it waits, so memory is bounded by the map, however fast
// patches come.

import type { border_update } from "./border_table";
import { decode_error, type mesh_decoder } from "./decoder";
import { type patch, region_text } from "./protocol";
import type { shaped_mesh } from "./shaping";
import type { shaper_answer, shaper_request } from "./shaper.worker";

/// A patch that is ready to be shown. Without `shaped`, its region is to be removed.
export interface ready_patch {
  patch: patch;
  shaped?: shaped_mesh;
  neighbours: border_update[];
}

export interface pipeline_events {
  /// A newer patch of the same region came before this one was begun.
  superseded(p: patch): void;
  ready(r: ready_patch): void;
  failed(p: patch, reason: string, decoder_missing: boolean): void;
}

/// The parts that differ between a browser and a test.
export interface pipeline_parts {
  decoder: Pick<mesh_decoder, "decode" | "workers">;
  shaper: { post(request: shaper_request, moved: ArrayBuffer[]): void; on_answer(listener: (a: shaper_answer) => void): void };
}

export class pipeline {
  private generation_ = 0;
  private waiting_ = new Map<string, patch>();
  private working_ = new Map<string, patch>();
  private decoding_ = 0;

  constructor(
    private readonly parts_: pipeline_parts,
    private readonly events_: pipeline_events,
  ) {
    parts_.shaper.on_answer((a) => this.shaped_(a));
  }

  /// Patches begun or waiting.
  get depth(): number {
    return this.waiting_.size + this.working_.size;
  }

  push(p: patch): void {
    const older = this.waiting_.get(p.key);
    if (older) this.events_.superseded(older);
    this.waiting_.set(p.key, p);
    this.pump_();
  }

  /// Forgets everything: the map that these patches belong to is gone.
  reset(): void {
    this.generation_++;
    this.waiting_.clear();
    this.working_.clear();
    this.decoding_ = 0;
    this.parts_.shaper.post({ type: "reset" }, []);
  }

  private pump_(): void {
    const limit = 2 * this.parts_.decoder.workers;
    for (const [key, p] of this.waiting_) {
      if (this.decoding_ >= limit) return;
      if (this.working_.has(key)) continue;
      this.waiting_.delete(key);
      this.working_.set(key, p);
      if (p.kind === "empty") this.parts_.shaper.post({ type: "remove", generation: this.generation_, region: p.region,
        version: p.version.toString() }, []);
      else void this.decode_(p, this.generation_);
    }
  }

  private async decode_(p: patch, generation: number): Promise<void> {
    this.decoding_++;
    try {
      const mesh = await this.parts_.decoder.decode(p.payload);
      if (generation !== this.generation_) return;
      const moved = [mesh.positions.buffer, mesh.colours.buffer, mesh.indices.buffer] as ArrayBuffer[];
      this.parts_.shaper.post({ type: "shape", generation, region: p.region, version: p.version.toString(), mesh }, moved);
    } catch (error) {
      if (generation !== this.generation_) return;
      this.working_.delete(p.key);
      const reason = error instanceof Error ? error.message : String(error);
      this.events_.failed(p, reason, error instanceof decode_error && error.decoder_missing);
    } finally {
      if (generation === this.generation_) {
        this.decoding_--;
        this.pump_();
      }
    }
  }

  private shaped_(a: shaper_answer): void {
    if (a.generation !== this.generation_) return;
    const key = region_text(a.region);
    const p = this.working_.get(key);
    if (!p || p.version.toString() !== a.version) return;
    this.working_.delete(key);
    if (a.type === "faulty") this.events_.failed(p, a.reason, false);
    else if (a.type === "removed") this.events_.ready({ patch: p, neighbours: a.neighbours });
    else this.events_.ready({ patch: p, shaped: a.shaped, neighbours: a.neighbours });
    this.pump_();
  }
}
