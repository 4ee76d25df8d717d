// A patch's way from the wire to the scene: decode (DRACOLoader's workers, or those for cells), shape (our worker), then wait for
// a frame with time for it. Of a region one patch is in work at most, and the newest waits, with those between that it builds on:
// the service counts these as on their way until they are decoded. So memory is bounded by the map, however fast patches come.

import type { border_update } from "./border_table";
import type { cells_pool } from "./cells_pool";
import { decode_error, type mesh_decoder } from "./decoder";
import { type patch, type region, region_text } from "./protocol";
import type { decoded_mesh, shaped_mesh } from "./shaping";
import type { shaper_answer, shaper_request } from "./shaper.worker";

/// A patch that is ready to be shown. Without `shaped`, its region is to be removed.
export interface ready_patch {
  patch: patch;
  shaped?: shaped_mesh;
  neighbours: border_update[];
}

export interface pipeline_events {
  /// A newer patch of the same region came before this one was shown.
  superseded(p: patch): void;
  ready(r: ready_patch): void;
  failed(p: patch, reason: string, decoder_missing: boolean): void;
  /// Partial patches of a region have nothing to build on: it must come whole.
  lost(at: region): void;
}

/// The parts that differ between a browser and a test.
export interface pipeline_parts {
  decoder: Pick<mesh_decoder, "decode" | "workers">;
  cells: Pick<cells_pool, "decode" | "forget" | "reset">;
  shaper: { post(request: shaper_request, moved: ArrayBuffer[]): void; on_answer(listener: (a: shaper_answer) => void): void };
}

export class pipeline {
  private generation_ = 0;
  /// By region: a patch, and partial ones that build on it.
  private waiting_ = new Map<string, patch[]>();
  private working_ = new Map<string, patch[]>();
  private decoding_ = 0;

  constructor(
    private readonly parts_: pipeline_parts,
    private readonly events_: pipeline_events,
  ) {
    parts_.shaper.on_answer((a) => this.shaped_(a));
  }

  /// Regions whose patches are begun, and those whose patches wait.
  get depth(): number {
    return this.waiting_.size + this.working_.size;
  }

  push(p: patch): void {
    const older = this.waiting_.get(p.key) ?? [];
    if (!p.partial) {
      for (const o of older) this.events_.superseded(o);
      this.waiting_.set(p.key, [p]);
    } else if (older.length > 0 && older[older.length - 1].codec !== "cells") {
      this.events_.superseded(p);
      this.events_.lost(p.region);
    } else this.waiting_.set(p.key, [...older, p]);
    this.pump_();
  }

  /// Forgets everything: the map that these patches belong to is gone.
  reset(): void {
    this.generation_++;
    this.waiting_.clear();
    this.working_.clear();
    this.decoding_ = 0;
    this.parts_.cells.reset();
    this.parts_.shaper.post({ type: "reset" }, []);
  }

  private pump_(): void {
    const limit = 2 * this.parts_.decoder.workers;
    for (const [key, patches] of this.waiting_) {
      if (this.decoding_ >= limit) return;
      if (this.working_.has(key)) continue;
      this.waiting_.delete(key);
      this.working_.set(key, patches);
      const p = patches[patches.length - 1];
      if (p.codec !== "cells") this.parts_.cells.forget(p.region);
      if (p.kind === "empty") this.parts_.shaper.post({ type: "remove", generation: this.generation_, region: p.region,
        version: p.version.toString() }, []);
      else void this.decode_(patches, this.generation_);
    }
  }

  private mesh_(patches: patch[]): Promise<decoded_mesh> {
    return patches[0].codec === "cells" ? this.parts_.cells.decode(patches) : this.parts_.decoder.decode(patches[0].payload);
  }

  private async decode_(patches: patch[], generation: number): Promise<void> {
    const p = patches[patches.length - 1];
    this.decoding_++;
    try {
      const mesh = await this.mesh_(patches);
      if (generation !== this.generation_) return;
      const moved = [mesh.positions.buffer, mesh.colours.buffer, mesh.indices.buffer] as ArrayBuffer[];
      this.parts_.shaper.post({ type: "shape", generation, region: p.region, version: p.version.toString(), mesh }, moved);
    } catch (error) {
      if (generation !== this.generation_) return;
      this.working_.delete(p.key);
      const reason = error instanceof Error ? error.message : String(error);
      const known = error instanceof decode_error ? error : undefined;
      for (const older of patches) if (older !== p) this.events_.superseded(older);
      if (known?.base_missing) this.events_.superseded(p);
      else this.events_.failed(p, reason, known?.decoder_missing ?? false);
      if (p.partial || this.waiting_.get(p.key)?.[0].partial) this.lose_(p);
    } finally {
      if (generation === this.generation_) {
        this.decoding_--;
        this.pump_();
      }
    }
  }

  /// Without what was to be decoded just now, partial patches that wait are of no use.
  private lose_(p: patch): void {
    const waiting = this.waiting_.get(p.key);
    if (waiting?.[0].partial) {
      for (const w of waiting) this.events_.superseded(w);
      this.waiting_.delete(p.key);
    } else if (waiting) return; // and it comes whole already
    this.events_.lost(p.region);
  }

  private shaped_(a: shaper_answer): void {
    if (a.generation !== this.generation_) return;
    const key = region_text(a.region);
    const patches = this.working_.get(key), p = patches?.[patches.length - 1];
    if (!patches || !p || p.version.toString() !== a.version) return;
    this.working_.delete(key);
    for (const older of patches) if (older !== p) this.events_.superseded(older);
    if (a.type === "faulty") this.events_.failed(p, a.reason, false);
    else if (a.type === "removed") this.events_.ready({ patch: p, neighbours: a.neighbours });
    else this.events_.ready({ patch: p, shaped: a.shaped, neighbours: a.neighbours });
    this.pump_();
  }
}
