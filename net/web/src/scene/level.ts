// Which way is up on screen: what the user chose, else the floor if there is a clear one, else the cameras.

import type { camera_set } from "./cameras";
import { floor_up } from "./floor";
import { angle_between, axis_of, type up_choice, type vector } from "./orientation";
import type { surfaces } from "./surfaces";

export class level {
  /// The last answer's reason, for the panel's words.
  source: "chosen" | "floor" | "cameras" = "cameras";
  private floor_: vector | undefined;
  private looked_at_ = { up: [0, -1, 0] as vector, vertices: 0 };

  constructor(
    private readonly cameras_: camera_set,
    private readonly surfaces_: surfaces,
  ) {}

  clear(): void {
    this.floor_ = undefined;
    this.looked_at_ = { up: [0, -1, 0], vertices: 0 };
  }

  /// Up, in the map's frame. Looks for the floor anew when the map or the cameras' opinion changed much.
  up(choice: up_choice): vector {
    if (choice !== "auto") {
      this.source = "chosen";
      return axis_of(choice);
    }
    const near = this.cameras_.up.up, vertices = this.surfaces_.vertices, last = this.looked_at_;
    if (vertices < 0.8 * last.vertices || vertices > 1.2 * last.vertices || angle_between(near, last.up) > 0.01) {
      this.looked_at_ = { up: near, vertices };
      this.floor_ = vertices ? floor_up(this.surfaces_.meshes(), vertices, near) : undefined;
    }
    this.source = this.floor_ ? "floor" : "cameras";
    return this.floor_ ?? near;
  }
}
