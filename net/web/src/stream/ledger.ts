// Which version of which region this viewer has, is decoding, or has shown. Pure state, no pictures.

import type { held_patch, patch, region } from "./protocol";

interface entry {
  region: region;
  /// Newest version received; what `have` tells.
  received: bigint;
  /// Newest version on screen, or 0.
  shown: bigint;
  /// The newest received patch emptied the region.
  empty: boolean;
}

/// Keeps versions so that the newest wins, whatever order decodes finish in.
export class ledger {
  epoch = "";
  /// Oldest received first.
  private entries_ = new Map<string, entry>();
  /// Regions that were asked for whole: partial patches that were on their way before are of no use.
  private baseless_ = new Set<string>();

  /// A stream begins. Starts over if `epoch` is another one; true if everything held must be dropped.
  enter(epoch: string): boolean {
    this.baseless_.clear();
    // What an earlier process called gone the next one may have again, under an older version.
    for (const [key, e] of this.entries_) if (e.empty) this.entries_.delete(key);
    if (epoch === this.epoch) return false;
    const had = this.epoch !== "";
    this.epoch = epoch;
    this.entries_.clear();
    return had;
  }

  /// Notes that a patch arrived. False: it is not newer than what is here already, or builds on what is not, and must be ignored.
  receive(p: Pick<patch, "key" | "region" | "version" | "kind" | "partial">): boolean {
    const known = this.entries_.get(p.key);
    if (known && p.version <= known.received) return false;
    if (p.partial && this.baseless_.has(p.key)) return false;
    this.baseless_.delete(p.key);
    this.entries_.delete(p.key); // so that it stands last
    this.entries_.set(p.key, { region: p.region, received: p.version, shown: known?.shown ?? 0n, empty: p.kind === "empty" });
    return true;
  }

  /// Asks whether a finished version may go on screen, and notes that it did.
  show(key: string, version: bigint): boolean {
    const known = this.entries_.get(key);
    if (!known || version <= known.shown || version > known.received) return false;
    known.shown = version;
    return true;
  }

  /// Notes that a version could not be decoded: it is not held, so the next subscribe asks for it again.
  fail(key: string, version: bigint): void {
    const known = this.entries_.get(key);
    if (!known || known.received !== version) return;
    if (known.shown > 0n) known.received = known.shown;
    else this.entries_.delete(key);
  }

  /// Notes that of a region nothing is held that a partial patch could build on: none counts until it comes whole.
  lose(key: string): void {
    this.baseless_.add(key);
    const known = this.entries_.get(key);
    if (known) this.fail(key, known.received);
  }

  /// Holds a region no more.
  drop(key: string): void {
    this.entries_.delete(key);
  }

  /// What to tell the service on subscribe, oldest first.
  have(): held_patch[] {
    const list: held_patch[] = [];
    for (const e of this.entries_.values()) if (!e.empty)
      list.push([e.region[0], e.region[1], e.region[2], e.received.toString()]);
    return list;
  }

  /// Regions named in `have` now.
  get size(): number {
    let n = 0;
    for (const e of this.entries_.values()) if (!e.empty) n++;
    return n;
  }
}

/// A region and version as `ack` and `have` list them.
export const as_held = (region: region, version: bigint): held_patch => [region[0], region[1], region[2], version.toString()];
