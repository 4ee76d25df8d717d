// Workers that decode patches of codec 2. A region's patches always go to the same one, which holds its records.

import type { cells_header } from "./cells";
import type { cells_answer, cells_request } from "./cells.worker";
import { decode_error } from "./decoder";
import type { patch, region } from "./protocol";
import type { decoded_mesh } from "./shaping";

/// A worker that does not answer for so long never will.
const patience_ms = 30_000;

interface waiting_job {
  resolve: (mesh: decoded_mesh) => void;
  reject: (why: decode_error) => void;
  timer: ReturnType<typeof setTimeout>;
}

/// One worker and what it was asked; made when it is first needed, and again when it is after it broke.
class cells_worker {
  private worker_: Worker | undefined;
  private waiting_ = new Map<number, waiting_job>();
  private jobs_ = 0;

  constructor(private readonly make_: () => Worker) {}

  decode(patches: { header: cells_header; payload: Uint8Array<ArrayBuffer> }[]): Promise<decoded_mesh> {
    return new Promise((resolve, reject) => {
      const job = this.jobs_++;
      const timer = setTimeout(() => this.break_(`the decoder did not answer for ${patience_ms / 1000} s`), patience_ms);
      this.waiting_.set(job, { resolve, reject, timer });
      this.started_().postMessage({ type: "decode", job, patches } satisfies cells_request, patches.map((p) => p.payload.buffer));
    });
  }

  /// Of a worker that holds something.
  tell(request: cells_request): void {
    this.worker_?.postMessage(request);
  }

  /// Ends it; what is being decoded never comes.
  end(): void {
    for (const { timer } of this.waiting_.values()) clearTimeout(timer);
    this.waiting_.clear();
    this.worker_?.terminate();
    this.worker_ = undefined;
  }

  private started_(): Worker {
    if (this.worker_) return this.worker_;
    const worker = this.worker_ = this.make_();
    worker.onmessage = (e: MessageEvent<cells_answer>) => this.hear_(e.data);
    worker.onerror = (e) => this.break_(`the decoder failed: ${e.message}`);
    return worker;
  }

  private hear_(answer: cells_answer): void {
    const known = this.waiting_.get(answer.job);
    if (!known) return;
    this.waiting_.delete(answer.job);
    clearTimeout(known.timer);
    if ("mesh" in answer) known.resolve(answer.mesh);
    else known.reject(new decode_error(answer.reason, false, answer.missing));
  }

  /// What it held is gone: partial patches of its regions will find nothing to build on, and be asked for whole.
  private break_(why: string): void {
    const waiting = [...this.waiting_.values()];
    this.end();
    for (const w of waiting) w.reject(new decode_error(why));
  }
}

export class cells_pool {
  /// Of the map whose patches come.
  region_voxels = 0;
  private workers_: cells_worker[];

  constructor(workers: number, make: () => Worker) {
    this.workers_ = Array.from({ length: workers }, () => new cells_worker(make));
  }

  /// Decodes patches of one region, each on the one before it, and gives the mesh of the last. Rejects with decode_error, and
  /// holds nothing of the region then.
  decode(patches: patch[]): Promise<decoded_mesh> {
    const region_voxels = this.region_voxels;
    return this.of_(patches[0].region).decode(patches.map((p) => ({
      header: { region: p.region, version: p.version, vertices: p.vertices, triangles: p.triangles, partial: p.partial,
        region_voxels },
      payload: p.payload.slice(),
    })));
  }

  /// Holds a region's records no more.
  forget(region: region): void {
    this.of_(region).tell({ type: "forget", region });
  }

  /// Holds nothing any more.
  reset(): void {
    for (const w of this.workers_) w.tell({ type: "reset" });
  }

  end(): void {
    for (const w of this.workers_) w.end();
  }

  /// Neighbours, which change together, go to different ones.
  private of_(at: region): cells_worker {
    const turn = at[0] + 3 * at[1] + 7 * at[2], n = this.workers_.length;
    return this.workers_[((turn % n) + n) % n];
  }
}
