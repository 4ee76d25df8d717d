// Where the eye is and how it moves: orbit around a point, fly, or follow the newest camera. World space here is y-up.
// What hands and keys do comes from gestures.ts.

import { type PerspectiveCamera, Quaternion, type Vector2, Vector3 } from "three";
import { frame_points, type insets } from "./framing";

export type travel_mode = "orbit" | "fly";

/// Where a camera is and looks, y-up world.
export interface outlook {
  position: Vector3;
  forward: Vector3;
}

interface stance {
  /// Orbit: the point looked at. Fly: the eye.
  pivot: Vector3;
  yaw: number;
  pitch: number;
  distance: number;
}

/// How far to move along each direction, -1 to 1 each.
export interface push {
  ahead: number;
  aside: number;
  rise: number;
}

const highest_pitch = Math.PI / 2 - 0.01;
const clamp = (v: number, low: number, high: number): number => Math.min(high, Math.max(low, v));

export class travel_controls {
  mode: travel_mode = "orbit";
  following = false;
  /// False until the user moved the view; until then it may be fitted to a growing map.
  touched = false;
  /// Without smooth movement, for those who asked their system for that.
  still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  /// The view moves, or its mode changed.
  on_change: () => void = () => {};
  /// What hands and keys want now; asked every frame.
  wish: () => push & { fast: boolean } = () => ({ ahead: 0, aside: 0, rise: 0, fast: false });
  private goal_: stance = { pivot: new Vector3(), yaw: 0.7, pitch: 0.55, distance: 6 };
  private now_: stance = { pivot: new Vector3(), yaw: 0.7, pitch: 0.55, distance: 6 };
  private radius_ = 3;
  private pace_ = 1;
  private steered_at_ = -Infinity;
  private clock_s_ = 0;

  constructor(
    private readonly camera_: PerspectiveCamera,
    private readonly canvas_: HTMLCanvasElement,
  ) {
    camera_.rotation.order = "YXZ";
  }

  /// Tells the scene's size, which sets speeds and clipping.
  set_radius(radius: number): void {
    this.radius_ = Math.max(radius, 1e-6);
  }

  /// Puts points (x y z each) into view as large as they fit between the insets; keeps the direction.
  frame(points: Float32Array, inset: insets, jump = false): void {
    this.set_mode("orbit");
    const g = this.goal_, back = this.back_(g), right = this.right_(g), up = back.clone().cross(right);
    const half = Math.tan((this.camera_.fov * Math.PI) / 360);
    const width = Math.max(1, this.canvas_.clientWidth), height = Math.max(1, this.canvas_.clientHeight);
    const found = frame_points(points, right.toArray(), up.toArray(), back.toArray(), half, width, height, inset);
    if (!found) return;
    g.distance = Math.max(found.distance, 0.02 * this.radius_);
    g.pivot.set(...found.eye).addScaledVector(back, -g.distance);
    if (jump || this.still) this.settle_();
    this.on_change();
  }

  /// Looks the way of `forward`, from a little above at the least.
  face(forward: Vector3, jump = false): void {
    const f = forward.clone().normalize();
    this.goal_.yaw = Math.atan2(-f.x, -f.z);
    this.goal_.pitch = clamp(Math.asin(clamp(-f.y, -1, 1)), 0.3, 1.2);
    if (jump || this.still) this.settle_();
    this.on_change();
  }

  /// Stands at a place and looks from there.
  stand(view: outlook): void {
    this.follow(false);
    this.set_mode("fly");
    this.touched = true;
    this.goal_.pivot.copy(view.position);
    this.aim_(this.goal_, view.forward);
    if (this.still) this.settle_();
    this.on_change();
  }

  /// The eye, and its distance to the point that orbiting turns around.
  get view(): outlook & { distance: number } {
    const g = this.goal_, back = this.back_(g);
    const position = g.pivot.clone();
    if (this.mode === "orbit") position.addScaledVector(back, g.distance);
    return { position, forward: back.negate(), distance: g.distance };
  }

  /// Takes a view over, at once.
  set_view(view: outlook & { distance: number }, mode: travel_mode): void {
    this.mode = mode;
    this.aim_(this.goal_, view.forward);
    this.goal_.distance = Math.max(view.distance, 1e-6);
    this.goal_.pivot.copy(view.position);
    if (mode === "orbit") this.goal_.pivot.addScaledVector(view.forward.clone().normalize(), this.goal_.distance);
    this.settle_();
    this.on_change();
  }

  /// The world turned by `turn` under the eye: the eye turns with it, so that nothing moves on screen but what was not upright.
  turn_with(turn: Quaternion): void {
    for (const s of [this.goal_, this.now_]) {
      const forward = this.back_(s).negate().applyQuaternion(turn);
      s.pivot.applyQuaternion(turn);
      this.aim_(s, forward);
    }
    this.on_change();
  }

  set_mode(mode: travel_mode): void {
    if (mode === this.mode) return;
    for (const s of [this.goal_, this.now_]) {
      const reach = this.back_(s).multiplyScalar(s.distance);
      if (mode === "fly") s.pivot.add(reach);
      else s.pivot.sub(reach);
    }
    this.mode = mode;
    this.on_change();
  }

  follow(on: boolean): void {
    if (on === this.following) return;
    this.following = on;
    this.steered_at_ = -Infinity;
    if (on) {
      this.set_mode("orbit");
      this.touched = true;
      this.goal_.distance = Math.min(this.goal_.distance, Math.max(0.55 * this.radius_, 1e-3));
    }
    this.on_change();
  }

  /// Moves on by dt_s; true while something still moves.
  update(dt_s: number, leader: outlook | undefined): boolean {
    this.clock_s_ += dt_s;
    if (this.following && leader) this.trail_(leader);
    this.walk_(dt_s);
    const rate = this.still ? 1 : 1 - Math.exp(-dt_s * (this.following ? 5 : 16));
    const g = this.goal_, n = this.now_;
    const turn = Math.atan2(Math.sin(g.yaw - n.yaw), Math.cos(g.yaw - n.yaw));
    const rest = n.pivot.distanceTo(g.pivot) / this.radius_ + Math.abs(turn) + Math.abs(g.pitch - n.pitch)
      + Math.abs(Math.log(g.distance / n.distance));
    if (rest < 1e-5) this.settle_();
    else {
      n.pivot.lerp(g.pivot, rate);
      n.yaw += turn * rate;
      n.pitch += (g.pitch - n.pitch) * rate;
      n.distance *= (g.distance / n.distance) ** rate;
    }
    this.place_();
    return rest >= 1e-5;
  }

  /// Turns the view by a drag of so many pixels.
  turn(dx: number, dy: number): void {
    const per_px = (this.mode === "fly" ? 2.2 : 3.4) / Math.max(300, this.canvas_.clientHeight);
    this.goal_.yaw -= dx * per_px;
    this.goal_.pitch = clamp(this.goal_.pitch + dy * per_px, -highest_pitch, highest_pitch);
    this.touched = true;
    this.steered_at_ = this.clock_s_;
    this.on_change();
  }

  /// Moves the view sideways by a drag of so many pixels.
  pan(dx: number, dy: number): void {
    this.take_over_();
    const per_px = (2 * this.goal_.distance * Math.tan((this.camera_.fov * Math.PI) / 360)) / Math.max(1,
      this.canvas_.clientHeight);
    const right = this.right_(this.goal_), up = this.back_(this.goal_).cross(right);
    const sign = this.mode === "fly" ? -1 : 1;
    this.goal_.pivot.addScaledVector(right, -sign * dx * per_px).addScaledVector(up, sign * dy * per_px);
    this.on_change();
  }

  /// Comes nearer (factor below 1) or goes away, keeping the place `at` (-1 to 1) where it is on screen.
  zoom(factor: number, at: Vector2): void {
    this.touched = true;
    this.on_change();
    if (this.mode === "fly") {
      this.goal_.pivot.addScaledVector(this.back_(this.goal_), Math.log(factor) * 0.6 * this.radius_ * this.pace_);
      return;
    }
    const next = clamp(this.goal_.distance * factor, 1e-3 * this.radius_, 40 * this.radius_);
    const shrink = 1 - next / this.goal_.distance;
    const half = this.goal_.distance * Math.tan((this.camera_.fov * Math.PI) / 360);
    const right = this.right_(this.goal_), up = this.back_(this.goal_).cross(right);
    if (!this.following) this.goal_.pivot.addScaledVector(right, at.x * half * this.camera_.aspect * shrink).addScaledVector(up,
      at.y * half * shrink);
    this.goal_.distance = next;
  }

  /// Makes flying faster (factor above 1) or slower.
  hurry(factor: number): void {
    this.pace_ = clamp(this.pace_ * factor, 0.05, 8);
  }

  /// Makes a place the point to turn around, seen from a little nearer.
  turn_around(place: Vector3): void {
    this.take_over_();
    this.set_mode("orbit");
    this.goal_.distance = Math.max(0.6 * this.camera_.position.distanceTo(place), 0.05 * this.radius_);
    this.goal_.pivot.copy(place);
    this.on_change();
  }

  private settle_(): void {
    const { pivot, ...rest } = this.goal_;
    Object.assign(this.now_, rest);
    this.now_.pivot.copy(pivot);
  }

  private aim_(s: stance, forward: Vector3): void {
    const f = forward.clone().normalize();
    if (Math.hypot(f.x, f.z) > 1e-6) s.yaw = Math.atan2(-f.x, -f.z);
    s.pitch = clamp(Math.asin(clamp(-f.y, -1, 1)), -highest_pitch, highest_pitch);
  }

  private place_(): void {
    const n = this.now_;
    this.camera_.position.copy(n.pivot);
    if (this.mode === "orbit") this.camera_.position.addScaledVector(this.back_(n), n.distance);
    this.camera_.rotation.set(-n.pitch, n.yaw, 0);
    const eye = this.camera_.position.length() + 8 * this.radius_ + n.distance;
    const near = Math.max(Math.min(0.02 * n.distance, 0.01 * this.radius_), 2e-4 * this.radius_);
    if (Math.abs(this.camera_.near - near) > 0.05 * near || Math.abs(this.camera_.far - eye) > 0.2 * eye) {
      this.camera_.near = near;
      this.camera_.far = eye;
      this.camera_.updateProjectionMatrix();
    }
    this.camera_.updateMatrixWorld();
  }

  private back_(s: stance): Vector3 {
    return new Vector3(Math.cos(s.pitch) * Math.sin(s.yaw), Math.sin(s.pitch), Math.cos(s.pitch) * Math.cos(s.yaw));
  }

  private right_(s: stance): Vector3 {
    return new Vector3(Math.cos(s.yaw), 0, -Math.sin(s.yaw));
  }

  private trail_(leader: outlook): void {
    const f = leader.forward;
    this.goal_.pivot.copy(leader.position).addScaledVector(f, 0.35 * this.goal_.distance);
    if (this.clock_s_ - this.steered_at_ < 4) return;
    this.goal_.yaw = Math.atan2(-f.x, -f.z);
    this.goal_.pitch = clamp(0.38 - Math.asin(clamp(f.y, -1, 1)), 0.12, 0.9);
  }

  private walk_(dt_s: number): void {
    const { ahead, aside, rise, fast } = this.wish();
    if (!ahead && !aside && !rise) return;
    this.take_over_();
    const span = this.mode === "fly" ? 0.35 * this.radius_ * this.pace_ : 0.6 * this.goal_.distance;
    const step = span * (fast ? 4 : 1) * Math.min(dt_s, 0.1);
    const forward = this.back_(this.goal_).negate();
    if (this.mode === "orbit") forward.setY(0).normalize();
    this.goal_.pivot.addScaledVector(forward, ahead * step).addScaledVector(this.right_(this.goal_), aside * step);
    this.goal_.pivot.y += rise * step;
    this.on_change();
  }

  private take_over_(): void {
    this.touched = true;
    if (this.following) this.follow(false);
  }
}
