// The cut: a box of the upright frame outside which nothing is drawn, and its panel.

import { Box3, Vector3 } from "three";
import type { vector } from "../scene/orientation";
import type { map_scene } from "../scene/scene";
import { cut_panel } from "./cut_panel";

export class map_cut {
  /// The box has handles here.
  readonly panel: cut_panel;
  private box_: Box3 | undefined;
  private kept_ = false;

  constructor(
    private readonly scene_: map_scene,
    private readonly changed_: () => void,
    close: () => void,
  ) {
    this.panel = new cut_panel(([low, high]) => {
      this.box_ = new Box3(new Vector3(...low), new Vector3(...high));
      this.kept_ = false;
      scene_.set_clip(this.box_);
      changed_();
    }, close);
  }

  get on(): boolean {
    return this.box_ !== undefined;
  }

  /// Something is cut that the user chose in the map as it is turned now; not what was kept in the page's address, which is upright as
  /// the map is going to be.
  get holds(): boolean {
    return this.on && !this.kept_;
  }

  /// Low and high corner, if anything is cut.
  get corners(): [vector, vector] | undefined {
    return this.box_ && [this.box_.min.toArray(), this.box_.max.toArray()];
  }

  /// Begins with everything still shown; false if there is nothing to cut.
  begin(): boolean {
    const whole = this.scene_.world_bounds();
    if (whole.isEmpty()) return false;
    this.apply_(whole.expandByScalar(1e-3));
    return true;
  }

  /// Cuts as it was kept in the page's address.
  restore([low, high]: [vector, vector]): void {
    this.apply_(new Box3(new Vector3(...low), new Vector3(...high)));
    this.kept_ = true;
  }

  /// The map changed: the handles go from end to end of what there is now, unless one is being held.
  grown(): void {
    if (this.box_ && !this.panel.element.contains(document.activeElement)) this.show_(this.box_);
  }

  end(): void {
    if (this.box_) this.apply_(undefined);
  }

  private apply_(box: Box3 | undefined): void {
    this.box_ = box;
    this.kept_ = false;
    this.scene_.set_clip(box);
    this.panel.element.classList.toggle("hidden", !box);
    this.panel.element.parentElement?.classList.toggle("cutting", box !== undefined);
    if (box) this.show_(box);
    this.changed_();
  }

  private show_(box: Box3): void {
    const whole = this.scene_.world_bounds().union(box);
    this.panel.show([whole.min.toArray(), whole.max.toArray()], [box.min.toArray(), box.max.toArray()]);
  }
}
