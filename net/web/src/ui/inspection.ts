// Looking closer: points with their coordinates, distances, keyframes. Places are kept in the map's frame, so that they stay on
// their surfaces when the map is turned upright anew.

import { Vector2, type Vector3 } from "three";
import type { camera_set } from "../scene/cameras";
import { ms_of } from "../stream/clock";
import type { vector } from "../scene/orientation";
import type { camera_pose, region } from "../stream/protocol";
import type { map_scene } from "../scene/scene";
import { length_text } from "./dom";
import type { card_content } from "./info_card";
import type { marks_overlay } from "./marks";

export type tool = "none" | "point" | "measure";

/// A tap so near a camera's dot means that camera.
const near_px = { mouse: 10, finger: 22 };

export interface inspection_parts {
  scene: map_scene;
  cameras: camera_set;
  marks: marks_overlay;
  /// Milliseconds since a moment of the service's clock.
  since_ms: (service_ms: number) => number | undefined;
  show(card: card_content | undefined): void;
  /// Looks through a camera.
  look_through(camera: camera_pose): void;
  path_shown: () => boolean;
  /// Marks a region, and puts it into view.
  choose_region(at: region): void;
  changed(): void;
}

/// A producer's time as a date, if it counts from 1970; else in seconds of its own.
export function time_text(ns: bigint): string {
  const ms = ms_of(ns);
  if (ms < 1e12 || ms > 4e12) return `${(ms / 1000).toFixed(3)} s of the producer's clock`;
  const at = new Date(ms), two = (n: number): string => String(n).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ` +
         `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

const place_text = (v: vector): string => v.map((x) => x.toFixed(3)).join("  ");

export class inspection {
  tool: tool = "none";
  private places_: vector[] = [];
  private camera_id_: string | undefined;
  /// The eye is at the chosen camera, so the next one is looked through, too.
  private through_ = false;

  constructor(private readonly with_: inspection_parts) {}

  /// Takes a tool, or lays it away if it is the one in use.
  use(tool: tool): void {
    this.clear();
    this.tool = tool;
    if (tool === "measure") this.with_.show({ title: "Measure",
      words: "Click or tap two points on surfaces; the next one begins another distance." });
    if (tool === "point") this.with_.show({ title: "Point",
      words: "Click or tap a surface to read its coordinates and its region." });
  }

  /// Ends the tool and forgets what was picked; true if there was anything.
  clear(): boolean {
    const had = this.tool !== "none" || this.camera_id_ !== undefined || this.places_.length > 0;
    this.tool = "none";
    this.places_ = [];
    this.camera_id_ = undefined;
    this.with_.scene.path.choose(undefined);
    this.with_.show(undefined);
    this.mark();
    return had;
  }

  /// A tap on the picture.
  tap(at: Vector2, px: Vector2, finger: boolean): void {
    if (this.tool === "none") {
      const camera = this.with_.path_shown() ? this.camera_at_(px, finger ? near_px.finger : near_px.mouse) : undefined;
      if (camera) this.choose(camera.id);
      else if (this.camera_id_ !== undefined) this.clear();
      return;
    }
    const hit = this.with_.scene.pick(at);
    if (!hit) return;
    const place = this.with_.scene.to_map(hit.point);
    if (this.tool === "point") {
      this.places_ = [place];
      const age_ms = this.with_.since_ms(hit.received_ms);
      const floor = this.with_.scene.world_bounds().min.y;
      const facts: [string, string][] = [
        ["x y z", place_text(place)], ["Height", `${length_text(hit.point.y - floor)} above the lowest point`],
        ["Region", hit.region.join(", ")], ["Version", hit.version],
        ["Updated", age_ms === undefined ? "–" : age_ms < 120_000 ? `${Math.max(0, age_ms / 1000).toFixed(1)} s ago`
        : `${Math.round(age_ms / 60_000)} min ago`],
      ];
      const copy = (): void => void navigator.clipboard?.writeText(place.map((v) => v.toFixed(4)).join(" "));
      this.with_.show({
        title: "Point", words: "Metres, in the map's own axes.", facts,
        todo: [{ label: "Copy", icon: "copy", run: copy },
          { label: "Its region", icon: "region", run: () => this.with_.choose_region(hit.region) }],
      });
    } else {
      this.places_.push(place);
      if (this.places_.length % 2 === 0) this.tell_distance_();
    }
    this.mark();
  }

  /// Shows a keyframe's card and marks its camera.
  choose(id: string): void {
    const list = this.with_.cameras.sorted(), i = list.findIndex((c) => c.id === id), c = list[i];
    if (!c) return;
    this.tool = "none";
    this.places_ = [];
    this.camera_id_ = id;
    this.with_.scene.path.choose(c);
    const step = (by: number): void => {
      const next = list[(i + by + list.length) % list.length];
      const through = this.through_;
      this.choose(next.id);
      if (through) this.look_(next);
    };
    this.with_.show({
      title: `Keyframe ${c.id}`,
      facts: [["Time", time_text(c.timestamp_ns)], ["Camera at", place_text([c.pose[3], c.pose[7], c.pose[11]])],
        ["Number", `${i + 1} of ${list.length}`]],
      todo: [{ label: "Look through", icon: "eye", run: () => this.look_(c) },
        { label: "Earlier", icon: "back", run: () => step(-1) }, { label: "Later", icon: "next", run: () => step(1) }],
    });
    this.through_ = false;
    this.mark();
  }

  /// Draws marks where they are now.
  mark(): void {
    const world = this.places_.map((p) => this.with_.scene.to_world(p));
    this.with_.marks.points = world;
    this.with_.marks.lines = [];
    for (let i = 0; i + 1 < world.length; i += 2)
      this.with_.marks.lines.push({ from: world[i], to: world[i + 1], label: length_text(world[i].distanceTo(world[i + 1])) });
    this.with_.changed();
  }

  private look_(c: camera_pose): void {
    this.through_ = true;
    this.with_.scene.path.choose(undefined);
    this.with_.look_through(c);
  }

  private tell_distance_(): void {
    const [a, b] = this.places_.slice(-2).map((p) => this.with_.scene.to_world(p)) as [Vector3, Vector3];
    this.with_.show({
      title: "Measure",
      facts: [["Distance", length_text(a.distanceTo(b))], ["Level", length_text(Math.hypot(b.x - a.x, b.z - a.z))],
        ["Height", length_text(Math.abs(b.y - a.y))]],
      todo: [{ label: "Again", icon: "measure", run: () => this.use("measure") }],
    });
  }

  private camera_at_(px: Vector2, near: number): camera_pose | undefined {
    let best: camera_pose | undefined, least = near;
    for (const c of this.with_.cameras.sorted()) {
      const at = this.with_.scene.on_screen(this.with_.scene.to_world([c.pose[3], c.pose[7], c.pose[11]]));
      const far = at ? Math.hypot(at.x - px.x, at.y - px.y) : Infinity;
      if (far > least) continue;
      least = far;
      best = c;
    }
    return best;
  }
}
