// The keyframes' cameras: which there are, which way they tell is up, the path they took.

import type { camera_pose, cameras } from "../stream/protocol";
import { up_estimate } from "./orientation";

/// More than that many are not kept: the oldest go.
const most = 20_000;

export class camera_set {
  readonly up = new up_estimate();
  /// Grows with every change, so that drawings know when they are stale.
  revision = 0;
  private by_id_ = new Map<string, camera_pose>();
  private newest_: camera_pose | undefined;

  get size(): number {
    return this.by_id_.size;
  }

  /// The camera with the latest time.
  get newest(): camera_pose | undefined {
    return this.newest_;
  }

  take(talk: cameras): void {
    for (const id of talk.gone) this.remove_(id);
    for (const c of talk.set) {
      this.remove_(c.id);
      this.by_id_.set(c.id, c);
      this.up.add(c.pose);
      if (!this.newest_ || c.timestamp_ns >= this.newest_.timestamp_ns) this.newest_ = c;
    }
    for (const id of this.by_id_.keys()) {
      if (this.by_id_.size <= most) break;
      this.remove_(id);
    }
    this.revision++;
  }

  clear(): void {
    this.by_id_.clear();
    this.up.clear();
    this.newest_ = undefined;
    this.revision++;
  }

  /// By time, oldest first. Mostly they come in that order already, which costs one look at each.
  sorted(): camera_pose[] {
    const list = [...this.by_id_.values()];
    if (list.some((c, i) => i > 0 && c.timestamp_ns < list[i - 1].timestamp_ns))
      list.sort((a, b) => (a.timestamp_ns < b.timestamp_ns ? -1 : a.timestamp_ns > b.timestamp_ns ? 1 : 0));
    return list;
  }

  private remove_(id: string): void {
    const c = this.by_id_.get(id);
    if (!c) return;
    this.by_id_.delete(id);
    this.up.add(c.pose, -1);
    if (this.newest_ === c) {
      this.newest_ = undefined;
      for (const other of this.by_id_.values()) if (!this.newest_ || other.timestamp_ns >= this.newest_.timestamp_ns) this.newest_ = other;
    }
  }
}
