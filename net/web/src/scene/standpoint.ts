// Where the view is from before the user takes over, and what is up: from behind the newest camera with everything in view,
// level, and never turned under a view that the user holds.

import { Box3, Quaternion, Sphere, Vector3 } from "three";
import type { camera_set } from "./cameras";
import type { outlook, travel_controls } from "./controls";
import type { insets } from "./framing";
import type { gestures } from "./gestures";
import { level } from "./level";
import { upright_of, type vector } from "./orientation";
import type { region } from "../stream/protocol";
import type { map_scene } from "./scene";
import type { settings } from "../ui/settings";
import type { kept_view } from "../ui/view_link";

/// A new upright is taken while the user looks only if it differs by so much, and no hand is on the view.
const worth_turning = (2 * Math.PI) / 180;
const hands_off_ms = 1500;
/// The whole is framed again when it grew or moved by so much of its radius, or shrank to so much.
const grown_by = 1.04, moved_by = 0.15, shrunk_to = 0.7;
const framed_points = 6000;

export interface standpoint_parts {
  scene: map_scene;
  cameras: camera_set;
  controls: travel_controls;
  gestures: gestures;
  settings: settings;
  /// What panels cover of the picture.
  insets(): insets;
  /// A cut holds the map as it is turned.
  held(): boolean;
  /// The map was turned: what lies in world space must follow.
  turned(): void;
}

export class standpoint {
  readonly level: level;
  /// 0: nothing was framed since the map began, was turned, or went.
  private framed_radius_ = 0;
  private framed_centre_ = new Vector3();
  private faced_ = false;
  /// What is framed instead of the whole, once it has a surface.
  private focus_: region | undefined;
  /// The view that a link brought, and how it read when it was taken: until the user moves on from it.
  private linked_: { view: kept_view; taken: string } | undefined;

  constructor(private readonly with_: standpoint_parts) {
    this.level = new level(with_.cameras, with_.scene.surfaces);
  }

  /// Another map began.
  forget(): void {
    this.level.clear();
    this.framed_radius_ = 0;
    this.faced_ = false;
    this.focus_ = undefined;
  }

  /// The newest camera.
  get leader(): outlook | undefined {
    const newest = this.with_.cameras.newest;
    return newest && this.with_.scene.outlook_of(newest.pose);
  }

  /// Puts what is shown into view, or one region of it.
  fit(of?: region): void {
    this.focus_ = of;
    this.with_.controls.follow(false);
    this.frame_(false);
  }

  /// Has a region in view as it would have the whole, from when it has a surface until the user takes over.
  attend(to: region): void {
    this.focus_ = to;
    this.with_.controls.follow(false);
    this.with_.controls.touched = false;
    this.framed_radius_ = 0;
    this.grown();
  }

  /// Looks at the whole from behind the newest camera.
  behind(): void {
    this.focus_ = undefined;
    this.with_.controls.follow(false);
    this.begin_(false);
  }

  /// The map changed: until the user takes over, the whole of it stays in view (or the region that is attended to).
  grown(): void {
    const { scene, controls, cameras } = this.with_;
    const whole = scene.world_sphere();
    if (!whole) { // all of it went: what comes next is another scan
      this.framed_radius_ = 0;
      this.faced_ = false;
      return;
    }
    controls.set_radius(whole.radius);
    const { radius, center } = this.sphere_() ?? whole, framed = this.framed_radius_, first = framed === 0;
    const same = radius < framed * grown_by && radius > framed * shrunk_to
      && center.distanceTo(this.framed_centre_) < framed * moved_by;
    if (controls.touched || same) return;
    if (first || !this.faced_) this.orient();
    this.framed_radius_ = radius;
    this.framed_centre_.copy(this.sphere_()?.center ?? center); // it may have been turned
    if (this.faced_) this.frame_(first);
    else {
      this.faced_ = cameras.newest !== undefined;
      this.begin_(true);
    }
  }

  /// The picture has another size: until the user takes over, the whole of the map stays in view.
  resized(): void {
    if (!this.with_.controls.touched && this.framed_radius_ > 0) this.frame_(true);
  }

  /// Turns the map upright, but not under a cut, unless `now`. While the user looks, only for a difference that is worth it (or
  /// `now`, when he chose it); the eye turns with the map, so that his view stays.
  orient(now = false): void {
    const { scene, controls, gestures, settings } = this.with_;
    if (!now && this.with_.held()) return;
    const held = controls.touched && !now;
    if (held && gestures.idle_ms(performance.now()) < hands_off_ms) return;
    const next = new Quaternion(...upright_of(this.level.up(settings.up)));
    if (next.angleTo(scene.upright) <= (held ? worth_turning : 1e-4)) return;
    const moved_on = controls.following || this.linked_?.taken !== JSON.stringify(this.kept);
    if (moved_on) this.linked_ = undefined;
    const turn = scene.set_upright(next);
    if (this.linked_) this.restore(this.linked_.view);
    else controls.turn_with(turn);
    this.framed_radius_ = 0;
    this.with_.turned();
  }

  /// Takes the view that a link has.
  restore(view: kept_view): void {
    const { scene, controls } = this.with_;
    controls.follow(false);
    controls.touched = true;
    controls.set_view({ position: scene.to_world(view.eye), forward: scene.to_world(view.forward), distance: view.distance },
      view.mode);
    this.linked_ = { view, taken: JSON.stringify(this.kept) };
  }

  /// The view as it is.
  get now(): kept_view {
    const { scene, controls } = this.with_;
    const v = controls.view, at = (p: typeof v.position): vector => scene.to_map(p);
    return { eye: at(v.position), forward: at(v.forward), distance: v.distance, mode: controls.mode };
  }

  /// What to keep of the view, once the user has made it his own.
  get kept(): kept_view | undefined {
    return this.with_.controls.touched ? this.now : undefined;
  }

  private corners_(): Float32Array | undefined {
    return this.focus_ && this.with_.scene.region_corners(this.focus_);
  }

  /// Around what is framed.
  private sphere_(): Sphere | undefined {
    const corners = this.corners_();
    return corners ? new Box3().setFromArray(corners).getBoundingSphere(new Sphere()) : this.with_.scene.world_sphere();
  }

  /// The view that it begins with.
  private begin_(jump: boolean): void {
    const leader = this.leader;
    if (leader) this.with_.controls.face(leader.forward, jump);
    this.frame_(jump);
  }

  private frame_(jump: boolean): void {
    this.with_.controls.frame(this.corners_() ?? this.with_.scene.world_points(framed_points), this.with_.insets(), jump);
  }
}
