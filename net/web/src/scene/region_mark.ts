// The box around the region that was chosen. In the map's frame.

import { LineMaterial } from "three/examples/jsm/lines/LineMaterial.js";
import { LineSegments2 } from "three/examples/jsm/lines/LineSegments2.js";
import { LineSegmentsGeometry } from "three/examples/jsm/lines/LineSegmentsGeometry.js";
import type { region } from "../stream/protocol";
import { unit_box } from "./outlines";
import type { palette } from "./theme";

export class region_mark {
  readonly lines: LineSegments2;
  private material_ = new LineMaterial({ linewidth: 2 });
  private region_: region | undefined;
  private edge_m_ = 0;

  constructor() {
    const box = new LineSegmentsGeometry();
    box.setPositions(unit_box());
    this.lines = new LineSegments2(box, this.material_);
    this.lines.matrixAutoUpdate = false;
    this.lines.frustumCulled = false;
    this.show(undefined);
  }

  get region(): region | undefined {
    return this.region_;
  }

  show(at: region | undefined): void {
    this.region_ = at;
    this.lines.visible = at !== undefined && this.edge_m_ > 0;
    if (!at) return;
    const e = this.edge_m_;
    this.lines.matrix.makeScale(e, e, e).setPosition(at[0] * e, at[1] * e, at[2] * e);
    this.lines.matrixWorldNeedsUpdate = true;
  }

  /// Edge of a region in metres.
  set_edge(edge_m: number): void {
    this.edge_m_ = edge_m;
    this.show(this.region_);
  }

  set_size(width: number, height: number): void {
    this.material_.resolution.set(width, height);
  }

  restyle(colour: palette): void {
    this.material_.color.copy(colour("--mark").convertSRGBToLinear());
  }
}
