// Moving through the map: orbit around a point, fly, or follow the newest camera; mouse, touch and keys. World space here is y-up.

import { type PerspectiveCamera, Vector2, Vector3 } from "three";

export type travel_mode = "orbit" | "fly";

/// Where the newest camera is and looks, y-up world.
export interface followed {
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

const highest_pitch = Math.PI / 2 - 0.01;
const keys_of_travel = new Set(["KeyW", "KeyA", "KeyS", "KeyD", "KeyQ", "KeyE", "ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"]);

export class travel_controls {
  mode: travel_mode = "orbit";
  following = false;
  /// False until the user moved the view; until then it may be fitted to a growing map.
  touched = false;
  /// Without smooth movement, for those who asked their system for that.
  still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  on_change: () => void = () => {};
  /// Asks for the surface point under a place on the canvas (-1 to 1), to turn around it.
  pick: (at: Vector2) => Vector3 | undefined = () => undefined;
  private goal_: stance = { pivot: new Vector3(), yaw: 0.7, pitch: 0.55, distance: 6 };
  private now_: stance = { pivot: new Vector3(), yaw: 0.7, pitch: 0.55, distance: 6 };
  private radius_ = 3;
  private pace_ = 1;
  private pressed_ = new Set<string>();
  private pointers_ = new Map<number, Vector2>();
  private panning_ = false;
  private last_tap_ = { at: 0, place: new Vector2() };
  private moved_px_ = 0;
  private steered_at_ = -Infinity;
  private clock_s_ = 0;

  constructor(
    private readonly camera_: PerspectiveCamera,
    private readonly canvas_: HTMLCanvasElement,
  ) {
    camera_.rotation.order = "YXZ";
    canvas_.addEventListener("pointerdown", (e) => this.press_(e));
    canvas_.addEventListener("pointermove", (e) => this.drag_(e));
    for (const name of ["pointerup", "pointercancel"] as const) canvas_.addEventListener(name, (e) => this.release_(e));
    canvas_.addEventListener("wheel", (e) => this.wheel_(e), { passive: false });
    canvas_.addEventListener("contextmenu", (e) => e.preventDefault());
    window.addEventListener("keydown", (e) => this.key_(e, true));
    window.addEventListener("keyup", (e) => this.key_(e, false));
    window.addEventListener("blur", () => this.pressed_.clear());
  }

  /// Tells the scene's size, which sets speeds and clipping.
  set_radius(radius: number): void {
    this.radius_ = Math.max(radius, 1e-6);
  }

  /// Puts a sphere into view; keeps the direction.
  fit(centre: Vector3, radius: number, jump = false): void {
    this.set_mode("orbit");
    const half = (this.camera_.fov * Math.PI) / 360;
    const narrow = Math.atan(Math.tan(half) * Math.min(1, this.camera_.aspect));
    this.goal_.pivot.copy(centre);
    this.goal_.distance = Math.max(radius, 1e-6) / Math.sin(narrow) * 0.98;
    if (jump || this.still) this.settle_();
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
  update(dt_s: number, leader: followed | undefined): boolean {
    this.clock_s_ += dt_s;
    if (this.following && leader) this.trail_(leader);
    this.walk_(dt_s);
    const rate = this.still ? 1 : 1 - Math.exp(-dt_s * (this.following ? 5 : 16));
    const g = this.goal_, n = this.now_;
    const turn = Math.atan2(Math.sin(g.yaw - n.yaw), Math.cos(g.yaw - n.yaw));
    const rest = n.pivot.distanceTo(g.pivot) / this.radius_ + Math.abs(turn) + Math.abs(g.pitch - n.pitch) + Math.abs(Math.log(g.distance / n.distance));
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

  /// The eye's distance to what it looks at.
  get distance(): number {
    return this.now_.distance;
  }

  private settle_(): void {
    const { pivot, ...rest } = this.goal_;
    Object.assign(this.now_, rest);
    this.now_.pivot.copy(pivot);
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

  private trail_(leader: followed): void {
    const f = leader.forward;
    this.goal_.pivot.copy(leader.position).addScaledVector(f, 0.35 * this.goal_.distance);
    if (this.clock_s_ - this.steered_at_ < 4) return;
    this.goal_.yaw = Math.atan2(-f.x, -f.z);
    this.goal_.pitch = Math.min(0.9, Math.max(0.12, 0.38 - Math.asin(Math.min(1, Math.max(-1, f.y)))));
  }

  private walk_(dt_s: number): void {
    if (!this.pressed_.size) return;
    const on = (...codes: string[]): number => (codes.some((c) => this.pressed_.has(c)) ? 1 : 0);
    const ahead = on("KeyW", "ArrowUp") - on("KeyS", "ArrowDown");
    const aside = on("KeyD", "ArrowRight") - on("KeyA", "ArrowLeft");
    const rise = on("KeyE") - on("KeyQ");
    if (!ahead && !aside && !rise) return;
    this.take_over_();
    const fast = on("ShiftLeft", "ShiftRight") ? 4 : 1;
    const span = this.mode === "fly" ? 0.35 * this.radius_ * this.pace_ : 0.6 * this.goal_.distance;
    const step = span * fast * Math.min(dt_s, 0.1);
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

  private turn_(dx: number, dy: number): void {
    const per_px = (this.mode === "fly" ? 2.2 : 3.4) / Math.max(300, this.canvas_.clientHeight);
    this.goal_.yaw -= dx * per_px;
    this.goal_.pitch = Math.min(highest_pitch, Math.max(-highest_pitch, this.goal_.pitch + dy * per_px));
    this.touched = true;
    this.steered_at_ = this.clock_s_;
  }

  private pan_(dx: number, dy: number): void {
    this.take_over_();
    const per_px = (2 * this.goal_.distance * Math.tan((this.camera_.fov * Math.PI) / 360)) / Math.max(1, this.canvas_.clientHeight);
    const right = this.right_(this.goal_), up = this.back_(this.goal_).cross(right);
    const sign = this.mode === "fly" ? -1 : 1;
    this.goal_.pivot.addScaledVector(right, -sign * dx * per_px).addScaledVector(up, sign * dy * per_px);
  }

  private zoom_(factor: number, at: Vector2): void {
    this.touched = true;
    if (this.mode === "fly") {
      this.goal_.pivot.addScaledVector(this.back_(this.goal_), Math.log(factor) * 0.6 * this.radius_ * this.pace_);
      return;
    }
    const nearest = 1e-3 * this.radius_, farthest = 40 * this.radius_;
    const next = Math.min(farthest, Math.max(nearest, this.goal_.distance * factor));
    const shrink = 1 - next / this.goal_.distance;
    const half = this.goal_.distance * Math.tan((this.camera_.fov * Math.PI) / 360);
    const right = this.right_(this.goal_), up = this.back_(this.goal_).cross(right);
    if (!this.following) this.goal_.pivot.addScaledVector(right, at.x * half * this.camera_.aspect * shrink).addScaledVector(up, at.y * half * shrink);
    this.goal_.distance = next;
  }

  private place_of_(e: { clientX: number; clientY: number }): Vector2 {
    const box = this.canvas_.getBoundingClientRect();
    return new Vector2(((e.clientX - box.left) / box.width) * 2 - 1, 1 - ((e.clientY - box.top) / box.height) * 2);
  }

  private press_(e: PointerEvent): void {
    this.canvas_.setPointerCapture(e.pointerId);
    this.canvas_.focus({ preventScroll: true });
    this.pointers_.set(e.pointerId, new Vector2(e.clientX, e.clientY));
    this.panning_ = e.button === 2 || e.button === 1 || (e.button === 0 && e.shiftKey);
    this.moved_px_ = 0;
  }

  private drag_(e: PointerEvent): void {
    const last = this.pointers_.get(e.pointerId);
    if (!last) return;
    const dx = e.clientX - last.x, dy = e.clientY - last.y;
    this.moved_px_ += Math.hypot(dx, dy);
    if (this.pointers_.size === 1) {
      if (this.panning_) this.pan_(dx, dy);
      else this.turn_(dx, dy);
    } else if (this.pointers_.size === 2) {
      const other = [...this.pointers_].find(([id]) => id !== e.pointerId)![1];
      const before = last.distanceTo(other), after = Math.hypot(e.clientX - other.x, e.clientY - other.y);
      this.pan_(dx / 2, dy / 2);
      if (before > 10 && after > 10) this.zoom_(before / after, this.place_of_({ clientX: (e.clientX + other.x) / 2, clientY: (e.clientY + other.y) / 2 }));
    }
    last.set(e.clientX, e.clientY);
    this.on_change();
  }

  private release_(e: PointerEvent): void {
    const was = this.pointers_.get(e.pointerId);
    this.pointers_.delete(e.pointerId);
    if (!was || e.type !== "pointerup" || this.moved_px_ > 8 || this.pointers_.size) return;
    const again = e.timeStamp - this.last_tap_.at < 350 && this.last_tap_.place.distanceTo(was) < 24;
    this.last_tap_ = { at: again ? 0 : e.timeStamp, place: was.clone() };
    if (again) this.turn_around_(this.place_of_(e));
  }

  /// A double click or tap: what is there becomes the point to turn around, seen from a little nearer.
  private turn_around_(at: Vector2): void {
    const point = this.pick(at);
    if (!point) return;
    this.take_over_();
    this.set_mode("orbit");
    this.goal_.distance = Math.max(0.6 * this.camera_.position.distanceTo(point), 0.05 * this.radius_);
    this.goal_.pivot.copy(point);
    this.on_change();
  }

  private wheel_(e: WheelEvent): void {
    e.preventDefault();
    const lines = e.deltaMode === 1 ? 16 : e.deltaMode === 2 ? 400 : 1;
    const push = Math.max(-240, Math.min(240, e.deltaY * lines));
    if (this.mode === "fly" && !e.ctrlKey) this.pace_ = Math.min(8, Math.max(0.05, this.pace_ * Math.exp(-push * 0.0015)));
    else this.zoom_(Math.exp(push * (e.ctrlKey ? 0.008 : 0.0015)), this.place_of_(e));
    this.on_change();
  }

  private key_(e: KeyboardEvent, down: boolean): void {
    if (e.code === "ShiftLeft" || e.code === "ShiftRight") {
      if (down) this.pressed_.add(e.code);
      else this.pressed_.delete(e.code);
      return;
    }
    if (!keys_of_travel.has(e.code)) return;
    const typing = e.target instanceof HTMLElement && e.target.closest("input, select, textarea, [role=radiogroup], dialog") !== null;
    if (!down) this.pressed_.delete(e.code);
    else if (!typing && !e.ctrlKey && !e.metaKey && !e.altKey) {
      this.pressed_.add(e.code);
      e.preventDefault();
      this.on_change();
    }
  }

  /// Keys are held down: frames must go on.
  get busy(): boolean {
    return [...this.pressed_].some((c) => keys_of_travel.has(c));
  }
}
