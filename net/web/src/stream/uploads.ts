// Ready patches waiting for a frame: the newest of each region, in order of arrival, a few a frame.

import type { border_update } from "./border_table";
import type { ready_patch } from "./pipeline";

/// What a frame may take on: so many patches, bytes, and milliseconds, but always one.
export interface frame_budget {
  patches: number;
  bytes: number;
  ms: number;
}

export interface upload_target {
  show(r: ready_patch): void;
  update_border(u: border_update): void;
  superseded(r: ready_patch): void;
}

const size_of = (r: ready_patch): number => (r.shaped ? r.shaped.positions.byteLength * 2 + r.shaped.indices.byteLength : 0);

export class upload_queue {
  private waiting_ = new Map<string, ready_patch>();
  private borders_ = new Map<string, border_update>();

  get size(): number {
    return this.waiting_.size;
  }

  /// Adds a patch; one of the same region that still waits is handed to `superseded`. Border changes of waiting regions go into
  /// them.
  add(r: ready_patch, target: Pick<upload_target, "superseded">): void {
    const older = this.waiting_.get(r.patch.key);
    if (older) target.superseded(older);
    this.waiting_.set(r.patch.key, r);
    this.borders_.delete(r.patch.key);
    for (const u of r.neighbours) {
      const w = this.waiting_.get(u.key);
      if (w?.shaped && w.patch.version.toString() === u.version) w.shaped.normals.set(u.normals, 0);
      else this.borders_.set(u.key, u);
    }
  }

  clear(): void {
    this.waiting_.clear();
    this.borders_.clear();
  }

  /// Shows what fits into the budget; true if anything changed.
  run(budget: frame_budget, target: upload_target, now_ms: () => number = () => performance.now()): boolean {
    if (!this.waiting_.size && !this.borders_.size) return false;
    const begun = now_ms();
    let patches = 0, bytes = 0;
    for (const [key, r] of this.waiting_) {
      const size = size_of(r);
      if (patches > 0 && (patches >= budget.patches || bytes + size > budget.bytes || now_ms() - begun > budget.ms)) break;
      this.waiting_.delete(key);
      target.show(r);
      patches++;
      bytes += size;
    }
    for (const u of this.borders_.values()) target.update_border(u);
    this.borders_.clear();
    return true;
  }
}
