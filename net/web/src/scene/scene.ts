// The picture: renderer, camera, and the turned and scaled spaces that things lie in. World space is y-up.

import { Box3, Group, Matrix4, PerspectiveCamera, Quaternion, Raycaster, Scene, Sphere, type Vector2, Vector3,
  WebGLRenderer } from "three";
import { backdrop } from "./backdrop";
import { camera_path } from "./camera_path";
import type { outlook } from "./controls";
import { ground_grid } from "./ground";
import type { vector } from "./orientation";
import type { region } from "../stream/protocol";
import { region_outlines } from "./outlines";
import { region_mark } from "./region_mark";
import { type surface_hit, surfaces } from "./surfaces";
import { on_theme, palette_at } from "./theme";

/// This browser cannot draw; the message says what to do.
export class no_webgl extends Error {
  override name = "no_webgl";
}

const everything = (): Box3 => new Box3(new Vector3().setScalar(-1e30), new Vector3().setScalar(1e30));

export class map_scene {
  readonly camera = new PerspectiveCamera(55, 1, 0.05, 100);
  readonly surfaces = new surfaces();
  readonly outlines = new region_outlines(() => performance.now() / 1000);
  readonly chosen = new region_mark();
  readonly path = new camera_path();
  readonly ground = new ground_grid();
  readonly canvas: HTMLCanvasElement;
  on_resize: () => void = () => {};
  /// The browser took the drawing context away (false) or gave it back (true); geometry is then uploaded again by itself.
  on_context: (there: boolean) => void = () => {};
  private renderer_: WebGLRenderer;
  private scene_ = new Scene();
  private backdrop_ = new backdrop();
  /// Turns the map's frame upright; holds everything that is in the map's frame.
  private upright_ = new Group();
  private quantum_m_ = 1;
  private edge_m_ = 1;
  private grid_shown_ = true;
  private ground_key_ = "";
  private clip_ = everything();
  private ended_ = new AbortController();
  private size_: ResizeObserver;

  constructor(canvas: HTMLCanvasElement) {
    this.canvas = canvas;
    try {
      this.renderer_ = new WebGLRenderer({ canvas, antialias: true, alpha: false, powerPreference: "high-performance" });
    } catch (error) {
      throw new no_webgl(error instanceof Error ? error.message : String(error));
    }
    this.renderer_.info.autoReset = false;
    this.upright_.add(this.surfaces.group, this.outlines.lines, this.chosen.lines, this.path.group);
    this.scene_.add(this.backdrop_.mesh, this.upright_, this.ground.mesh);
    this.see_samples_();
    const { signal } = this.ended_;
    canvas.addEventListener("webglcontextlost", () => this.on_context(false), { signal });
    canvas.addEventListener("webglcontextrestored", () => {
      this.see_samples_();
      this.on_context(true);
    }, { signal });
    this.size_ = new ResizeObserver(() => this.resize_());
    this.size_.observe(canvas.parentElement ?? canvas);
    on_theme(() => this.restyle_(), signal);
    this.restyle_();
    this.resize_();
  }

  /// Gives back what the GPU holds, at once: a browser lends a page only some sixteen drawing contexts. The canvas cannot be
  /// drawn on again.
  end(): void {
    this.ended_.abort();
    this.size_.disconnect();
    this.surfaces.clear();
    this.renderer_.dispose();
    this.renderer_.forceContextLoss();
  }

  set_quantum(quantum_m: number): void {
    this.quantum_m_ = quantum_m;
    this.surfaces.set_quantum(quantum_m);
  }

  /// Edge of a region in metres.
  set_edge(edge_m: number): void {
    this.edge_m_ = edge_m;
    this.outlines.set_edge(edge_m);
    this.chosen.set_edge(edge_m);
  }

  /// Turns the map upright by `next`, and gives the turn that this makes in world space.
  set_upright(next: Quaternion): Quaternion {
    const turn = next.clone().multiply(this.upright_.quaternion.clone().invert());
    this.upright_.quaternion.copy(next);
    this.upright_.updateMatrixWorld(true);
    return turn;
  }

  get upright(): Quaternion {
    return this.upright_.quaternion;
  }

  /// From the map's frame to world space, and back. Both frames have the same origin.
  to_world(v: vector): Vector3 {
    return new Vector3(...v).applyQuaternion(this.upright_.quaternion);
  }

  to_map(v: Vector3): vector {
    return v.clone().applyQuaternion(this.upright_.quaternion.clone().invert()).toArray();
  }

  /// What is shown, as a box in world space; empty without regions.
  world_bounds(): Box3 {
    const box = this.surfaces.bounds.clone();
    return box.isEmpty() ? box : box.applyMatrix4(new Matrix4().makeScale(this.quantum_m_, this.quantum_m_, this.quantum_m_)
      .premultiply(this.upright_.matrixWorld));
  }

  world_sphere(): Sphere | undefined {
    const box = this.world_bounds();
    return box.isEmpty() ? undefined : box.getBoundingSphere(new Sphere());
  }

  /// The corners of a region's cube in world space (x y z each), if the region has a surface.
  region_corners(at: region): Float32Array | undefined {
    if (!this.surfaces.has(at)) return undefined;
    const corner = (i: number): vector => at.map((v, axis) => (v + ((i >> axis) & 1)) * this.edge_m_) as vector;
    return Float32Array.from(Array.from({ length: 8 }, (_, i) => this.to_world(corner(i)).toArray()).flat());
  }

  /// About `most` points of the surfaces that are not clipped away, in world space (x y z each).
  world_points(most: number): Float32Array {
    const points = this.surfaces.sample(most), v = new Vector3();
    let kept = 0;
    for (let i = 0; i < points.length; i += 3) {
      v.set(points[i], points[i + 1], points[i + 2]).multiplyScalar(this.quantum_m_).applyQuaternion(this.upright_.quaternion);
      if (!this.clip_.containsPoint(v)) continue;
      points.set([v.x, v.y, v.z], kept);
      kept += 3;
    }
    return points.subarray(0, kept);
  }

  show_grid(on: boolean): void {
    this.grid_shown_ = on;
    this.ground_key_ = "";
  }

  /// Draws only what is inside a box (world space); everything, without one.
  set_clip(box: Box3 | undefined): void {
    this.clip_ = box ?? everything();
    this.surfaces.material.set_clip(this.clip_.min, this.clip_.max);
  }

  /// A camera (world_from_camera, row-major, map frame) in world space.
  outlook_of(pose: Float64Array): outlook {
    return { position: this.to_world([pose[3], pose[7], pose[11]]),
      forward: this.to_world([pose[2], pose[6], pose[10]]).normalize() };
  }

  /// The viewer's own eye in the map's frame, as the service wants it.
  eye_in_map(): { position: vector; direction: vector } {
    return { position: this.to_map(this.camera.position), direction: this.to_map(this.camera.getWorldDirection(new Vector3())) };
  }

  pick(at: Vector2): surface_hit | undefined {
    const ray = new Raycaster();
    ray.setFromCamera(at, this.camera);
    return this.surfaces.pick(ray, (p) => this.clip_.containsPoint(p));
  }

  /// Where a place of world space is on the canvas, in pixels; undefined if it is behind the eye.
  on_screen(place: Vector3): { x: number; y: number } | undefined {
    const p = place.clone().applyMatrix4(this.camera.matrixWorldInverse);
    if (p.z > -this.camera.near) return undefined;
    p.applyMatrix4(this.camera.projectionMatrix);
    return { x: ((p.x + 1) / 2) * this.canvas.clientWidth, y: ((1 - p.y) / 2) * this.canvas.clientHeight };
  }

  draw(): void {
    this.settle_ground_();
    this.renderer_.info.reset();
    this.renderer_.render(this.scene_, this.camera);
  }

  /// What the GPU holds and drew last, to see that nothing is left behind.
  get info(): { geometries: number; programs: number; calls: number; triangles: number } {
    const i = this.renderer_.info;
    return { geometries: i.memory.geometries, programs: i.programs?.length ?? 0, calls: i.render.calls,
      triangles: i.render.triangles };
  }

  set_pixel_ratio(ratio: number): void {
    this.renderer_.setPixelRatio(ratio);
    this.resize_();
  }

  private restyle_(): void {
    const colour = palette_at(this.canvas);
    for (const part of [this.backdrop_, this.ground, this.outlines, this.chosen, this.path]) part.restyle(colour);
    this.on_resize();
  }

  private see_samples_(): void {
    const gl = this.renderer_.getContext();
    this.surfaces.material.set_pattern(Number(gl.getParameter(gl.SAMPLES)) < 2);
  }

  private settle_ground_(): void {
    const sphere = this.grid_shown_ ? this.world_sphere() : undefined;
    this.ground.mesh.visible = sphere !== undefined;
    if (!sphere) return;
    const floor = this.world_bounds().min.y;
    const key = [sphere.center.x, floor, sphere.center.z, sphere.radius].map((v) => Math.round((v / sphere.radius) * 50)).join()
      + Math.round(Math.log2(sphere.radius) * 8);
    if (key === this.ground_key_) return;
    this.ground_key_ = key;
    this.ground.place(sphere.center.x, floor - 0.004 * sphere.radius, sphere.center.z, sphere.radius);
  }

  private resize_(): void {
    const box = (this.canvas.parentElement ?? this.canvas).getBoundingClientRect();
    const width = Math.max(1, Math.round(box.width)), height = Math.max(1, Math.round(box.height));
    this.renderer_.setSize(width, height, false);
    this.path.set_size(width, height);
    this.chosen.set_size(width, height);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.on_resize();
  }
}
