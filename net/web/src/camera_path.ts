// Draws the cameras' path, fading into the past, and the newest camera's frustum. In metres, in the map's frame.

import { Group, Matrix4 } from "three";
import { Line2 } from "three/examples/jsm/lines/Line2.js";
import { LineGeometry } from "three/examples/jsm/lines/LineGeometry.js";
import { LineMaterial } from "three/examples/jsm/lines/LineMaterial.js";
import { LineSegments2 } from "three/examples/jsm/lines/LineSegments2.js";
import { LineSegmentsGeometry } from "three/examples/jsm/lines/LineSegmentsGeometry.js";
import type { camera_set } from "./cameras";

/// A pyramid to depth 1 as seen by a 4:3 camera with y down, and a small roof on its upper edge.
const frustum_lines = ((): number[] => {
  const w = 0.6, h = 0.45;
  const corners = [[-w, -h, 1], [w, -h, 1], [w, h, 1], [-w, h, 1]];
  const out: number[] = [];
  corners.forEach((c, i) => out.push(0, 0, 0, ...c, ...c, ...corners[(i + 1) % 4]));
  const roof = [0, -h * 1.55, 1];
  out.push(-w * 0.5, -h, 1, ...roof, ...roof, w * 0.5, -h, 1);
  return out;
})();

export class camera_path {
  readonly group = new Group();
  private line_: Line2;
  private path_material_ = new LineMaterial({ linewidth: 2, vertexColors: true, transparent: true, opacity: 0.95, worldUnits: false });
  private frustum_material_ = new LineMaterial({ linewidth: 2.5, color: 0xffd38a });
  private frustum_: LineSegments2;
  private drawn_revision_ = -1;
  private drawn_at_ms_ = 0;

  constructor() {
    this.line_ = new Line2(new LineGeometry(), this.path_material_);
    this.line_.visible = false;
    const shape = new LineSegmentsGeometry();
    shape.setPositions(frustum_lines);
    this.frustum_ = new LineSegments2(shape, this.frustum_material_);
    this.frustum_.matrixAutoUpdate = false;
    this.frustum_.visible = false;
    this.frustum_.frustumCulled = false;
    this.line_.frustumCulled = false;
    this.group.add(this.line_, this.frustum_);
  }

  set_size(width: number, height: number): void {
    this.path_material_.resolution.set(width, height);
    this.frustum_material_.resolution.set(width, height);
  }

  /// Brings the drawing up to date, at most five times a second (a long path: once); true if it changed. `size_m` is the frustum's depth.
  update(cameras: camera_set, size_m: number, now_ms: number): boolean {
    if (cameras.revision === this.drawn_revision_ || now_ms - this.drawn_at_ms_ < (cameras.size < 4000 ? 200 : 1000)) return false;
    this.drawn_revision_ = cameras.revision;
    this.drawn_at_ms_ = now_ms;
    const list = cameras.sorted();
    this.line_.visible = list.length > 1;
    if (list.length > 1) {
      const positions = new Float32Array(3 * list.length), colours = new Float32Array(3 * list.length);
      list.forEach((c, i) => {
        positions.set([c.pose[3], c.pose[7], c.pose[11]], 3 * i);
        const fresh = 0.22 + 0.78 * (i / (list.length - 1)) ** 2;
        colours.set([0.36 * fresh, 0.78 * fresh, 0.68 * fresh], 3 * i);
      });
      const geometry = new LineGeometry();
      geometry.setPositions(positions);
      geometry.setColors(colours);
      this.line_.geometry.dispose();
      this.line_.geometry = geometry;
    }
    const newest = cameras.newest;
    this.frustum_.visible = newest !== undefined;
    if (newest) {
      const p = newest.pose;
      this.frustum_.matrix.set(p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10], p[11], 0, 0, 0, 1);
      this.frustum_.matrix.multiply(new Matrix4().makeScale(size_m, size_m, size_m));
      this.frustum_.matrixWorldNeedsUpdate = true;
    }
    return true;
  }
}
