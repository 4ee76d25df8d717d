// What mouse, touch and keys do to the view. Taps that move nothing are handed on.

import { Vector2 } from "three";
import type { push, travel_controls } from "./controls";

const keys_of_travel = new Set(["KeyW", "KeyA", "KeyS", "KeyD", "KeyQ", "KeyE", "ArrowUp", "ArrowDown", "ArrowLeft",
  "ArrowRight"]);
/// A pointer that moved no farther than this was a tap.
const tap_px = 8;

export interface gesture_rules {
  /// Who hears the keys: the window, or the canvas while it has the focus.
  keys: EventTarget;
  /// Whether the wheel, turned so, is for the view; else the page scrolls.
  wheel(e: WheelEvent): boolean;
  /// Nothing is heard any more after that.
  signal: AbortSignal;
}

export class gestures {
  /// A tap at a place of the canvas, in pixels and from -1 to 1; the second of two quick ones comes as `on_double_tap`.
  on_tap: (at: Vector2, px: Vector2) => void = () => {};
  on_double_tap: (at: Vector2, px: Vector2) => void = () => {};
  /// What else pushes the view: the stick on a touch screen.
  stick: push = { ahead: 0, aside: 0, rise: 0 };
  private pressed_ = new Set<string>();
  private pointers_ = new Map<number, Vector2>();
  private panning_ = false;
  private last_tap_ = { at: 0, place: new Vector2() };
  private moved_px_ = 0;
  private ended_at_ms_ = -Infinity;

  constructor(
    private readonly controls_: travel_controls,
    private readonly canvas_: HTMLCanvasElement,
    private readonly rules_: gesture_rules,
  ) {
    const { keys, signal } = rules_;
    canvas_.addEventListener("pointerdown", (e) => this.press_(e), { signal });
    canvas_.addEventListener("pointermove", (e) => this.drag_(e), { signal });
    for (const name of ["pointerup", "pointercancel"] as const)
      canvas_.addEventListener(name, (e) => this.release_(e), { signal });
    canvas_.addEventListener("wheel", (e) => this.wheel_(e), { passive: false, signal });
    canvas_.addEventListener("contextmenu", (e) => e.preventDefault(), { signal });
    keys.addEventListener("keydown", (e) => this.key_(e as KeyboardEvent, true), { signal });
    keys.addEventListener("keyup", (e) => this.key_(e as KeyboardEvent, false), { signal });
    keys.addEventListener("blur", () => this.pressed_.clear(), { signal });
    controls_.wish = () => this.wish_();
  }

  /// Keys are held down or the stick is: frames must go on.
  get busy(): boolean {
    const { ahead, aside, rise } = this.stick;
    return ahead !== 0 || aside !== 0 || rise !== 0 || [...this.pressed_].some((c) => keys_of_travel.has(c));
  }

  /// Nobody has had a hand on the view for so long.
  idle_ms(now_ms: number): number {
    return this.busy || this.pointers_.size ? 0 : now_ms - this.ended_at_ms_;
  }

  private wish_(): push & { fast: boolean } {
    const on = (...codes: string[]): number => (codes.some((c) => this.pressed_.has(c)) ? 1 : 0);
    return {
      ahead: on("KeyW", "ArrowUp") - on("KeyS", "ArrowDown") + this.stick.ahead,
      aside: on("KeyD", "ArrowRight") - on("KeyA", "ArrowLeft") + this.stick.aside,
      rise: on("KeyE") - on("KeyQ") + this.stick.rise,
      fast: on("ShiftLeft", "ShiftRight") === 1,
    };
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
    this.moved_px_ = this.pointers_.size > 1 ? Infinity : 0;
  }

  private drag_(e: PointerEvent): void {
    const last = this.pointers_.get(e.pointerId);
    if (!last) return;
    const dx = e.clientX - last.x, dy = e.clientY - last.y;
    this.moved_px_ += Math.hypot(dx, dy);
    if (this.pointers_.size === 1) {
      if (this.panning_) this.controls_.pan(dx, dy);
      else if (dx || dy) this.controls_.turn(dx, dy);
    } else if (this.pointers_.size === 2) {
      const other = [...this.pointers_].find(([id]) => id !== e.pointerId)![1];
      const before = last.distanceTo(other), after = Math.hypot(e.clientX - other.x, e.clientY - other.y);
      this.controls_.pan(dx / 2, dy / 2);
      if (before > 10 && after > 10) this.controls_.zoom(before / after,
        this.place_of_({ clientX: (e.clientX + other.x) / 2, clientY: (e.clientY + other.y) / 2 }));
    }
    last.set(e.clientX, e.clientY);
  }

  private release_(e: PointerEvent): void {
    const was = this.pointers_.get(e.pointerId);
    this.pointers_.delete(e.pointerId);
    this.ended_at_ms_ = performance.now();
    if (!was || e.type !== "pointerup" || e.button !== 0 || this.moved_px_ > tap_px || this.pointers_.size) return;
    const again = e.timeStamp - this.last_tap_.at < 350 && this.last_tap_.place.distanceTo(was) < 24;
    this.last_tap_ = { at: again ? 0 : e.timeStamp, place: was.clone() };
    const box = this.canvas_.getBoundingClientRect(), px = new Vector2(e.clientX - box.left, e.clientY - box.top);
    if (again) this.on_double_tap(this.place_of_(e), px);
    else this.on_tap(this.place_of_(e), px);
  }

  private wheel_(e: WheelEvent): void {
    if (!this.rules_.wheel(e)) return;
    e.preventDefault();
    this.ended_at_ms_ = performance.now();
    const lines = e.deltaMode === 1 ? 16 : e.deltaMode === 2 ? 400 : 1;
    const push = Math.max(-240, Math.min(240, e.deltaY * lines));
    if (this.controls_.mode === "fly" && !e.ctrlKey) this.controls_.hurry(Math.exp(-push * 0.0015));
    else this.controls_.zoom(Math.exp(push * (e.ctrlKey ? 0.008 : 0.0015)), this.place_of_(e));
  }

  private key_(e: KeyboardEvent, down: boolean): void {
    if (e.code === "ShiftLeft" || e.code === "ShiftRight") {
      if (down) this.pressed_.add(e.code);
      else this.pressed_.delete(e.code);
      return;
    }
    if (!keys_of_travel.has(e.code)) return;
    const typing = e.target instanceof HTMLElement
      && e.target.closest("input, select, textarea, [role=radiogroup], dialog") !== null;
    if (!down) {
      this.pressed_.delete(e.code);
      this.ended_at_ms_ = performance.now();
    } else if (!typing && !e.ctrlKey && !e.metaKey && !e.altKey) {
      this.pressed_.add(e.code);
      e.preventDefault();
      this.controls_.on_change();
    }
  }
}
