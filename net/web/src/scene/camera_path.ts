// Draws the cameras' path, fading into the past, a dot for each keyframe, and the frustums of the newest and of the chosen
// camera. In metres, in the map's frame.

import { BufferAttribute, BufferGeometry, Color, Group, Matrix4, Points, PointsMaterial } from "three";
import { Line2 } from "three/examples/jsm/lines/Line2.js";
import { LineGeometry } from "three/examples/jsm/lines/LineGeometry.js";
import { LineMaterial } from "three/examples/jsm/lines/LineMaterial.js";
import { LineSegments2 } from "three/examples/jsm/lines/LineSegments2.js";
import { LineSegmentsGeometry } from "three/examples/jsm/lines/LineSegmentsGeometry.js";
import type { camera_set } from "./cameras";
import type { camera_pose } from "../stream/protocol";
import { scale_of } from "./pose";
import type { palette } from "./theme";

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

class frustum {
  readonly material: LineMaterial;
  readonly lines: LineSegments2;

  constructor(width_px: number) {
    const shape = new LineSegmentsGeometry();
    shape.setPositions(frustum_lines);
    this.material = new LineMaterial({ linewidth: width_px });
    this.lines = new LineSegments2(shape, this.material);
    this.lines.matrixAutoUpdate = false;
    this.lines.visible = false;
    this.lines.frustumCulled = false;
  }

  show(camera: camera_pose | undefined, size_m: number): void {
    this.lines.visible = camera !== undefined;
    if (!camera) return;
    const p = camera.pose;
    this.lines.matrix.set(p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10], p[11], 0, 0, 0, 1);
    const size = size_m / scale_of(p);
    this.lines.matrix.multiply(new Matrix4().makeScale(size, size, size));
    this.lines.matrixWorldNeedsUpdate = true;
  }
}

export class camera_path {
  readonly group = new Group();
  private line_: Line2;
  private path_material_ = new LineMaterial({ linewidth: 2, vertexColors: true, worldUnits: false });
  private dots_: Points<BufferGeometry, PointsMaterial>;
  private newest_ = new frustum(2.5);
  private chosen_ = new frustum(3);
  private chosen_camera_: camera_pose | undefined;
  private size_m_ = 1;
  private drawn_revision_ = -1;
  private drawn_at_ms_ = 0;
  private old_ = new Color();
  private fresh_ = new Color();

  constructor() {
    this.line_ = new Line2(new LineGeometry(), this.path_material_);
    this.line_.visible = false;
    this.line_.frustumCulled = false;
    this.dots_ = new Points(new BufferGeometry(), new PointsMaterial({ size: 5, sizeAttenuation: false, vertexColors: true }));
    this.dots_.frustumCulled = false;
    this.dots_.visible = false;
    this.group.add(this.line_, this.dots_, this.newest_.lines, this.chosen_.lines);
  }

  set_size(width: number, height: number): void {
    for (const m of [this.path_material_, this.newest_.material, this.chosen_.material]) m.resolution.set(width, height);
  }

  restyle(colour: palette): void {
    // three takes colours for linear and writes them as sRGB.
    const linear = (name: string): Color => colour(name).convertSRGBToLinear();
    this.newest_.material.color.copy(linear("--camera"));
    this.chosen_.material.color.copy(linear("--mark"));
    this.old_ = linear("--path-old");
    this.fresh_ = linear("--path");
    this.drawn_revision_ = -1;
  }

  /// Shows a camera as chosen, or none.
  choose(camera: camera_pose | undefined): void {
    this.chosen_camera_ = camera;
    this.chosen_.show(camera, 1.25 * this.size_m_);
  }

  /// Brings the drawing up to date, at most five times a second (a long path: once); true if it changed. `size_m` is the
  /// frustum's depth.
  update(cameras: camera_set, size_m: number, now_ms: number): boolean {
    if (cameras.revision === this.drawn_revision_ || now_ms - this.drawn_at_ms_ < (cameras.size < 4000 ? 200 : 1000))
      return false;
    this.drawn_revision_ = cameras.revision;
    this.drawn_at_ms_ = now_ms;
    this.size_m_ = size_m;
    const list = cameras.sorted();
    this.line_.visible = list.length > 1;
    this.dots_.visible = list.length > 0;
    const positions = new Float32Array(3 * list.length), colours = new Float32Array(3 * list.length);
    const c = new Color();
    list.forEach((one, i) => {
      positions.set([one.pose[3], one.pose[7], one.pose[11]], 3 * i);
      c.lerpColors(this.old_, this.fresh_, (i / Math.max(1, list.length - 1)) ** 2);
      colours.set([c.r, c.g, c.b], 3 * i);
    });
    if (list.length > 1) {
      const geometry = new LineGeometry();
      geometry.setPositions(positions);
      geometry.setColors(colours);
      this.line_.geometry.dispose();
      this.line_.geometry = geometry;
    }
    const dots = new BufferGeometry();
    dots.setAttribute("position", new BufferAttribute(positions, 3));
    dots.setAttribute("color", new BufferAttribute(colours, 3));
    this.dots_.geometry.dispose();
    this.dots_.geometry = dots;
    this.newest_.show(cameras.newest, size_m);
    this.choose(this.chosen_camera_);
    return true;
  }
}
