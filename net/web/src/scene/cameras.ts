// The keyframes' cameras: which there are, which way they tell is up, the path they took.

import type { camera_pose, cameras } from "../stream/protocol";
import { up_estimate } from "./orientation";

/// More than that many are not kept: the oldest go.
const most = 20_000;

export class camera_set {
  readonly up = new up_estimate();
  /// Grows with every change, so that drawings know when they are stale.
  revision = 0;
  /// In order of arrival; one that comes again stays in its place.
  private by_id_ = new Map<string, camera_pose>();
  /// Undefined: to be looked up.
  private newest_: camera_pose | undefined;
  /// So many statistics may still come before what is here is known to be old.
  private renewing_ = 0;

  get size(): number {
    return this.by_id_.size;
  }

  /// The camera that came last: by arrival, since producers' clocks differ.
  get newest(): camera_pose | undefined {
    if (!this.newest_) for (const c of this.by_id_.values()) this.newest_ = c;
    return this.newest_;
  }

  /// The stream begins again, and the service tells all cameras that there are: what is here stays until then, so that the map is
  /// not turned meanwhile.
  renew(): void {
    this.renewing_ = 2;
  }

  /// Statistics came. An empty list is never sent: after the second of them there are no cameras; true if there were.
  counted(): boolean {
    if (!this.renewing_ || --this.renewing_ || !this.size) return false;
    this.clear();
    return true;
  }

  take(talk: cameras): void {
    if (this.renewing_) this.clear();
    for (const id of talk.gone) this.remove_(id);
    for (const c of talk.set) {
      const before = this.by_id_.get(c.id);
      if (before) this.up.add(before.pose, -1);
      this.by_id_.set(c.id, c);
      this.up.add(c.pose);
    }
    this.newest_ = undefined;
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
    this.renewing_ = 0;
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
  }
}
