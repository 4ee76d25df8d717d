// What colours mean: the legend, the heights that the colours of heights run over, the name of the region under the pointer.

import { Vector2 } from "three";
import type { hello } from "../stream/protocol";
import type { map_scene } from "../scene/scene";
import type { settings } from "./settings";
import { legend, level_names } from "./legend";

export class colour_key {
  readonly legend = new legend();
  private heights_: [number, number] = [0, 1];

  constructor(
    private readonly scene_: map_scene,
    private readonly settings_: settings,
  ) {
    scene_.canvas.addEventListener("pointermove", (e) => this.name_region_(e));
  }

  /// Brings legend and heights in line with the map; true if colours changed.
  update(map: hello | undefined): boolean {
    const changed = this.measure_heights_();
    this.legend.show(this.settings_.shading, {
      level: level_names(this.scene_.upright.toArray()),
      heights: [0, this.heights_[1] - this.heights_[0]], region_m: map ? map.voxel_m * map.region_voxels : 0,
      region_voxels: map?.region_voxels ?? 0, regions: this.scene_.surfaces.size,
    });
    return changed;
  }

  /// Heights from the lowest to the highest point, without the outermost few.
  private measure_heights_(): boolean {
    if (this.settings_.shading !== "height" || !this.scene_.surfaces.size) return false;
    const points = this.scene_.world_points(4000);
    const heights = Float32Array.from({ length: points.length / 3 }, (_, i) => points[3 * i + 1]).sort();
    if (!heights.length) return false;
    const at = (f: number): number => heights[Math.min(heights.length - 1, Math.floor(f * heights.length))];
    const next: [number, number] = [at(0.005), at(0.995)];
    if (Math.abs(next[0] - this.heights_[0]) + Math.abs(next[1] - this.heights_[1]) < 0.01 * Math.max(1e-6, next[1] - next[0]))
      return false;
    this.heights_ = next;
    this.scene_.surfaces.material.set_heights(...next);
    return true;
  }

  private name_region_(e: PointerEvent): void {
    const canvas = this.scene_.canvas;
    if (this.settings_.shading !== "region" || e.buttons || e.pointerType === "touch") {
      if (canvas.title) canvas.removeAttribute("title");
      return;
    }
    const box = canvas.getBoundingClientRect();
    const hit = this.scene_.pick(new Vector2(((e.clientX - box.left) / box.width) * 2 - 1,
      1 - ((e.clientY - box.top) / box.height) * 2));
    const words = hit ? `Region ${hit.region.join(", ")}` : "";
    if (canvas.title !== words) canvas.title = words;
  }
}
