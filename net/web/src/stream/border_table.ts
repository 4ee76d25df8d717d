// Makes shading continuous over region borders: normals of vertices at the same place are summed over all regions that have one
// there. The sums are of integers, so adding and taking away leaves no trace, and neighbours get the same normal to the last bit.

import { encode_octahedral, type shaped_mesh } from "./shaping";
import { type region, region_text } from "./protocol";

interface member {
  region: region;
  version: string;
  places: Float64Array;
  sums: Float64Array;
  slots: Int32Array;
  normals: Int16Array;
}

/// New border normals of a region that is on screen already: the first `normals.length / 2` vertices of that version.
export interface border_update {
  key: string;
  version: string;
  normals: Int16Array<ArrayBuffer>;
}

/// Holds the border sums of all regions; one slot for each place.
export class border_table {
  private members_ = new Map<string, member>();
  private slot_of_ = new Map<number, number>();
  private free_: number[] = [];
  private sums_ = new Float64Array(3 * 1024);
  private users_ = new Int32Array(1024);
  private touched_ = new Int32Array(1024);
  private stamp_ = 0;

  get places(): number {
    return this.slot_of_.size;
  }

  clear(): void {
    this.members_.clear();
    this.slot_of_.clear();
    this.free_ = [];
    this.sums_.fill(0);
    this.users_.fill(0);
  }

  /// Puts a region's new mesh in place of its old one, writes its joined border normals into `shaped`, and tells which neighbours
  /// changed.
  replace(at: region, version: string, shaped: shaped_mesh, places: Float64Array, sums: Float64Array): border_update[] {
    const key = region_text(at);
    this.stamp_++;
    this.leave_(key);
    const slots = new Int32Array(places.length);
    for (let v = 0; v < places.length; v++) {
      const slot = this.take_(places[v]);
      slots[v] = slot;
      this.users_[slot]++;
      this.touched_[slot] = this.stamp_;
      for (let i = 0; i < 3; i++) this.sums_[3 * slot + i] += sums[3 * v + i];
    }
    const joined: member = { region: at, version, places, sums, slots, normals: new Int16Array(2 * slots.length) };
    this.join_(joined);
    shaped.normals.set(joined.normals, 0);
    this.members_.set(key, joined);
    return this.neighbours_(at);
  }

  /// Takes a region away; tells which neighbours changed.
  remove(at: region): border_update[] {
    this.stamp_++;
    this.leave_(region_text(at));
    return this.neighbours_(at);
  }

  private leave_(key: string): void {
    const old = this.members_.get(key);
    if (!old) return;
    this.members_.delete(key);
    for (let v = 0; v < old.slots.length; v++) {
      const slot = old.slots[v];
      this.touched_[slot] = this.stamp_;
      for (let i = 0; i < 3; i++) this.sums_[3 * slot + i] -= old.sums[3 * v + i];
      if (--this.users_[slot] === 0) {
        this.slot_of_.delete(old.places[v]);
        this.free_.push(slot);
      }
    }
  }

  private take_(place: number): number {
    const known = this.slot_of_.get(place);
    if (known !== undefined) return known;
    const slot = this.free_.pop() ?? this.slot_of_.size;
    if (slot >= this.users_.length) this.grow_(slot);
    this.sums_.fill(0, 3 * slot, 3 * slot + 3);
    this.slot_of_.set(place, slot);
    return slot;
  }

  private grow_(slot: number): void {
    const size = Math.max(2 * this.users_.length, slot + 1);
    const longer = <T extends Float64Array | Int32Array>(from: T, to: T): T => (to.set(from), to);
    this.sums_ = longer(this.sums_, new Float64Array(3 * size));
    this.users_ = longer(this.users_, new Int32Array(size));
    this.touched_ = longer(this.touched_, new Int32Array(size));
  }

  private join_(m: member): void {
    for (let v = 0; v < m.slots.length; v++) {
      const s = 3 * m.slots[v];
      encode_octahedral(this.sums_[s], this.sums_[s + 1], this.sums_[s + 2], m.normals, 2 * v);
    }
  }

  private neighbours_(at: region): border_update[] {
    const updates: border_update[] = [];
    for (let dx = -1; dx <= 1; dx++)
      for (let dy = -1; dy <= 1; dy++)
        for (let dz = -1; dz <= 1; dz++) {
          if (dx === 0 && dy === 0 && dz === 0) continue;
          const key = region_text([at[0] + dx, at[1] + dy, at[2] + dz]);
          const m = this.members_.get(key);
          if (!m || !this.refresh_(m)) continue;
          updates.push({ key, version: m.version, normals: m.normals.slice() });
        }
    return updates;
  }

  /// Joins again the vertices whose sum was touched just now; true if a normal changed.
  private refresh_(m: member): boolean {
    let changed = false;
    const fresh = new Int16Array(2);
    for (let v = 0; v < m.slots.length; v++) {
      const slot = m.slots[v];
      if (this.touched_[slot] !== this.stamp_) continue;
      encode_octahedral(this.sums_[3 * slot], this.sums_[3 * slot + 1], this.sums_[3 * slot + 2], fresh, 0);
      if (fresh[0] === m.normals[2 * v] && fresh[1] === m.normals[2 * v + 1]) continue;
      m.normals[2 * v] = fresh[0];
      m.normals[2 * v + 1] = fresh[1];
      changed = true;
    }
    return changed;
  }
}
