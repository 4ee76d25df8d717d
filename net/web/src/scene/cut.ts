// The cut: a box of the upright frame outside which nothing is drawn.

import { Box3, Vector3 } from "three";
import type { vector } from "./orientation";
import type { map_scene } from "./scene";

/// Low and high corner.
export type corners = [low: vector, high: vector];

export class map_cut {
  /// The box came, went, or became another.
  on_change: () => void = () => {};
  private box_: Box3 | undefined;
  private kept_ = false;

  constructor(private readonly scene_: map_scene) {}

  get on(): boolean {
    return this.box_ !== undefined;
  }

  /// Something is cut that the user chose in the map as it is turned now; not what a link brought, which is upright as the map is
  /// going to be.
  get holds(): boolean {
    return this.on && !this.kept_;
  }

  get corners(): corners | undefined {
    return this.box_ && [this.box_.min.toArray(), this.box_.max.toArray()];
  }

  /// What there is to cut: what is shown, and the box.
  get whole(): corners {
    const whole = this.scene_.world_bounds().union(this.box_ ?? new Box3());
    return [whole.min.toArray(), whole.max.toArray()];
  }

  /// Begins with everything still shown; false if there is nothing to cut.
  begin(): boolean {
    const whole = this.scene_.world_bounds();
    if (whole.isEmpty()) return false;
    this.apply_(whole.expandByScalar(1e-3));
    return true;
  }

  /// Cuts as the user wants it.
  take([low, high]: corners): void {
    this.apply_(new Box3(new Vector3(...low), new Vector3(...high)));
  }

  /// Cuts as a link wants it.
  restore(box: corners): void {
    this.take(box);
    this.kept_ = true;
  }

  end(): void {
    if (this.box_) this.apply_(undefined);
  }

  private apply_(box: Box3 | undefined): void {
    this.box_ = box;
    this.kept_ = false;
    this.scene_.set_clip(box);
    this.on_change();
  }
}
