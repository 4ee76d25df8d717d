// The picture: renderer, camera, and the turned and scaled spaces that things lie in. World space is y-up.

import { Box3, Group, Matrix4, PerspectiveCamera, Quaternion, Raycaster, Scene, Sphere, Vector2, Vector3, WebGLRenderer } from "three";
import { camera_path } from "./camera_path";
import type { camera_set } from "./cameras";
import type { followed } from "./controls";
import { ground_grid } from "./ground";
import type { vector } from "./orientation";
import { region_outlines } from "./outlines";
import { surfaces } from "./surfaces";

/// This browser cannot draw; the message says what to do.
export class no_webgl extends Error {
  override name = "no_webgl";
}

export class map_scene {
  readonly camera = new PerspectiveCamera(55, 1, 0.05, 100);
  readonly surfaces = new surfaces();
  readonly outlines = new region_outlines(() => performance.now() / 1000);
  readonly path = new camera_path();
  readonly ground = new ground_grid();
  readonly canvas: HTMLCanvasElement;
  on_resize: () => void = () => {};
  /// The browser took the drawing context away (false) or gave it back (true); geometry is then uploaded again by itself.
  on_context: (there: boolean) => void = () => {};
  private renderer_: WebGLRenderer;
  private scene_ = new Scene();
  /// Turns the map's frame upright; holds everything that is in the map's frame.
  private upright_ = new Group();
  private quantum_m_ = 1;
  private grid_shown_ = true;
  private ground_key_ = "";

  constructor(canvas: HTMLCanvasElement) {
    this.canvas = canvas;
    try {
      this.renderer_ = new WebGLRenderer({ canvas, antialias: true, alpha: true, powerPreference: "high-performance" });
    } catch (error) {
      throw new no_webgl(error instanceof Error ? error.message : String(error));
    }
    this.renderer_.setClearColor(0, 0);
    this.renderer_.info.autoReset = false;
    this.upright_.add(this.surfaces.group, this.outlines.lines, this.path.group);
    this.scene_.add(this.upright_, this.ground.mesh);
    canvas.addEventListener("webglcontextlost", () => this.on_context(false));
    canvas.addEventListener("webglcontextrestored", () => this.on_context(true));
    new ResizeObserver(() => this.resize_()).observe(canvas.parentElement ?? canvas);
    this.resize_();
  }

  set_quantum(quantum_m: number): void {
    this.quantum_m_ = quantum_m;
    this.surfaces.set_quantum(quantum_m);
  }

  /// Turns the map so that `up` (map frame) points up; true if that changed anything.
  set_up(up: vector): boolean {
    const turn = new Quaternion().setFromUnitVectors(new Vector3(...up).normalize(), new Vector3(0, 1, 0));
    if (turn.angleTo(this.upright_.quaternion) < 1e-4) return false;
    this.upright_.quaternion.copy(turn);
    this.upright_.updateMatrixWorld(true);
    return true;
  }

  get upright(): Quaternion {
    return this.upright_.quaternion;
  }

  /// What is shown, as a box in world space; empty without regions.
  world_bounds(): Box3 {
    const box = this.surfaces.bounds.clone();
    return box.isEmpty() ? box : box.applyMatrix4(new Matrix4().makeScale(this.quantum_m_, this.quantum_m_, this.quantum_m_).premultiply(this.upright_.matrixWorld));
  }

  world_sphere(): Sphere | undefined {
    const box = this.world_bounds();
    return box.isEmpty() ? undefined : box.getBoundingSphere(new Sphere());
  }

  show_grid(on: boolean): void {
    this.grid_shown_ = on;
    this.ground_key_ = "";
  }

  /// The newest camera in world space.
  leader(cameras: camera_set): followed | undefined {
    const p = cameras.newest?.pose;
    if (!p) return undefined;
    return {
      position: new Vector3(p[3], p[7], p[11]).applyQuaternion(this.upright_.quaternion),
      forward: new Vector3(p[2], p[6], p[10]).normalize().applyQuaternion(this.upright_.quaternion),
    };
  }

  /// The viewer's own eye in the map's frame, as the service wants it.
  eye_in_map(): { position: vector; direction: vector } {
    const back = this.upright_.quaternion.clone().invert();
    const position = this.camera.position.clone().applyQuaternion(back);
    const direction = this.camera.getWorldDirection(new Vector3()).applyQuaternion(back);
    return { position: position.toArray(), direction: direction.toArray() };
  }

  pick(at: Vector2): Vector3 | undefined {
    const ray = new Raycaster();
    ray.setFromCamera(at, this.camera);
    return this.surfaces.pick(ray);
  }

  draw(): void {
    this.settle_ground_();
    this.renderer_.info.reset();
    this.renderer_.render(this.scene_, this.camera);
  }

  /// What the GPU holds and drew last, to see that nothing is left behind.
  get info(): { geometries: number; programs: number; calls: number; triangles: number } {
    const i = this.renderer_.info;
    return { geometries: i.memory.geometries, programs: i.programs?.length ?? 0, calls: i.render.calls, triangles: i.render.triangles };
  }

  set_pixel_ratio(ratio: number): void {
    this.renderer_.setPixelRatio(ratio);
    this.resize_();
  }

  private settle_ground_(): void {
    const sphere = this.grid_shown_ ? this.world_sphere() : undefined;
    this.ground.mesh.visible = sphere !== undefined;
    if (!sphere) return;
    const floor = this.world_bounds().min.y;
    const key = [sphere.center.x, floor, sphere.center.z, sphere.radius].map((v) => Math.round((v / sphere.radius) * 50)).join() + Math.round(Math.log2(sphere.radius) * 8);
    if (key === this.ground_key_) return;
    this.ground_key_ = key;
    this.ground.place(sphere.center.x, floor - 0.004 * sphere.radius, sphere.center.z, sphere.radius);
  }

  private resize_(): void {
    const box = (this.canvas.parentElement ?? this.canvas).getBoundingClientRect();
    const width = Math.max(1, Math.round(box.width)), height = Math.max(1, Math.round(box.height));
    this.renderer_.setSize(width, height, false);
    this.path.set_size(width, height);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.on_resize();
  }
}
