// The regions on screen: one mesh each, swapped whole, disposed when replaced.

import { Box3, BufferAttribute, BufferGeometry, Color, DoubleSide, FrontSide, Group, Mesh, type Raycaster, Sphere,
  Vector3 } from "three";
import type { border_update } from "../stream/border_table";
import { type region, region_text } from "../stream/protocol";
import { place_hash, type shaped_mesh } from "../stream/shaping";
import { surface_material } from "./surface_material";

/// One region as it is drawn.
interface surface {
  region: region;
  version: string;
  mesh: Mesh<BufferGeometry, surface_material>;
  shaped: shaped_mesh;
  colour: Vector3;
  /// When the newest keyframe in it was received, the service's clock, milliseconds.
  received_ms: number;
}

/// A point of a surface, and whose it is.
export interface surface_hit {
  /// World space.
  point: Vector3;
  region: region;
  version: string;
  received_ms: number;
}

/// A colour for a region that stays its own, far from its neighbours' for most.
export function region_colour(at: region): Vector3 {
  const h = place_hash(at[0] + 101, at[1] + 211, at[2] + 307);
  const turn = (h % 4096) / 4096, tier = Math.floor(h / 4096) % 3;
  const c = new Color().setHSL(turn, [0.62, 0.5, 0.5][tier], [0.56, 0.46, 0.63][tier]).convertLinearToSRGB();
  return new Vector3(c.r, c.g, c.b);
}

function bytes_of(s: shaped_mesh): number {
  return s.positions.byteLength + s.normals.byteLength + s.colours.byteLength + s.indices.byteLength;
}

/// All surfaces, under one group in units of the quantisation grid, so that equal border vertices go through equal arithmetic.
export class surfaces {
  readonly group = new Group();
  readonly material = new surface_material();
  triangles = 0;
  vertices = 0;
  /// Bytes of geometry, the same on the GPU and (for saving and picking) in memory.
  bytes = 0;
  private list_ = new Map<string, surface>();
  private bounds_: Box3 | undefined;

  /// Tells how long ago a moment of the service's clock was, in milliseconds; undefined while that is not known.
  since_ms: (service_ms: number) => number | undefined = () => undefined;

  get size(): number {
    return this.list_.size;
  }

  set_quantum(quantum_m: number): void {
    this.group.scale.setScalar(quantum_m);
    this.group.updateMatrixWorld(true);
  }

  /// Puts a region's new surface in place of the old one.
  replace(at: region, version: string, shaped: shaped_mesh, received_ms: number): void {
    this.remove(at);
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(shaped.positions, 3));
    geometry.setAttribute("bearing", new BufferAttribute(shaped.normals, 2, true));
    geometry.setAttribute("tint", new BufferAttribute(shaped.colours, 4, true));
    geometry.setIndex(new BufferAttribute(shaped.indices, 1));
    const b = shaped.bounds;
    geometry.boundingBox = new Box3(new Vector3(b[0], b[1], b[2]), new Vector3(b[3], b[4], b[5]));
    geometry.boundingSphere = geometry.boundingBox.getBoundingSphere(new Sphere());
    const mesh = new Mesh(geometry, this.material);
    const s: surface = { region: at, version, mesh, shaped, colour: region_colour(at), received_ms };
    mesh.matrixAutoUpdate = false;
    mesh.userData["surface"] = s;
    mesh.onBeforeRender = () => this.material.set_region(s.colour, Math.max(0, (this.since_ms(s.received_ms) ?? 0) / 1000));
    this.group.add(mesh);
    this.list_.set(region_text(at), s);
    this.count_(s, 1);
  }

  /// Takes a region's surface away; false if there was none.
  remove(at: region): boolean {
    const key = region_text(at);
    const s = this.list_.get(key);
    if (!s) return false;
    this.list_.delete(key);
    this.group.remove(s.mesh);
    s.mesh.geometry.dispose();
    this.count_(s, -1);
    return true;
  }

  clear(): void {
    for (const s of [...this.list_.values()]) this.remove(s.region);
  }

  /// Gives a region the border normals that it now shares with a changed neighbour.
  update_border(update: border_update): void {
    const s = this.list_.get(update.key);
    if (!s || s.version !== update.version || update.normals.length !== 2 * s.shaped.border) return;
    const attribute = s.mesh.geometry.getAttribute("bearing") as BufferAttribute;
    (attribute.array as Int16Array).set(update.normals, 0);
    attribute.clearUpdateRanges();
    attribute.addUpdateRange(0, update.normals.length);
    attribute.needsUpdate = true;
  }

  /// Box of everything shown, in units of the grid; empty without regions.
  get bounds(): Box3 {
    if (!this.bounds_) {
      this.bounds_ = new Box3();
      for (const s of this.list_.values()) if (s.mesh.geometry.boundingBox) this.bounds_.union(s.mesh.geometry.boundingBox);
    }
    return this.bounds_;
  }

  *meshes(): Iterable<shaped_mesh> {
    for (const s of this.list_.values()) yield s.shaped;
  }

  has(at: region): boolean {
    return this.list_.has(region_text(at));
  }

  /// About `most` of the vertices, evenly taken, in units of the grid (x y z each).
  sample(most: number): Float32Array {
    const stride = Math.max(1, Math.ceil(this.vertices / most));
    const out = new Float32Array(3 * Math.ceil(this.vertices / stride));
    let at = 0, next = 0;
    for (const s of this.list_.values()) {
      const p = s.shaped.positions, count = p.length / 3;
      for (; next < count; next += stride, at += 3) out.set(p.subarray(3 * next, 3 * next + 3), at);
      next -= count;
    }
    return out.subarray(0, at);
  }

  /// The nearest point of a surface on a ray that `seen` lets through: of a front if there is one, since backs are only veils.
  pick(ray: Raycaster, seen: (world: Vector3) => boolean): surface_hit | undefined {
    const drawn = this.material.side;
    for (const side of drawn === FrontSide ? [FrontSide] : [FrontSide, DoubleSide]) {
      this.material.side = side;
      const hit = ray.intersectObject(this.group, true).find((h) => seen(h.point));
      this.material.side = drawn;
      if (!hit) continue;
      const s = hit.object.userData["surface"] as surface;
      return { point: hit.point, region: s.region, version: s.version, received_ms: s.received_ms };
    }
    return undefined;
  }

  private count_(s: surface, sign: 1 | -1): void {
    this.triangles += sign * (s.shaped.indices.length / 3);
    this.vertices += sign * (s.shaped.positions.length / 3);
    this.bytes += sign * bytes_of(s.shaped);
    this.bounds_ = undefined;
  }
}
