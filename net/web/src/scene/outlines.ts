// Boxes around the regions, drawn in one call; a box glows for a moment when its region was updated.

import { BufferAttribute, Color, GLSL3, InstancedBufferAttribute, InstancedBufferGeometry, LineSegments,
  ShaderMaterial } from "three";
import { type region, region_text } from "../stream/protocol";
import type { palette } from "./theme";

const vertex = /* glsl */ `
in vec4 place;
uniform float u_edge;
uniform float u_now;
out float v_glow;
void main() {
  v_glow = exp(-2.0 * max(u_now - place.w, 0.0));
  gl_Position = projectionMatrix * modelViewMatrix * vec4((place.xyz + position) * u_edge, 1.0);
}`;

const fragment = /* glsl */ `
precision highp float;
in float v_glow;
uniform vec3 u_calm;
uniform vec3 u_fresh;
layout(location = 0) out highp vec4 pixel;
void main() {
  pixel = vec4(mix(u_calm, u_fresh, v_glow), 0.34 + 0.6 * v_glow);
}`;

/// The edges of a cube from 0 to 1.
export function unit_box(): Float32Array<ArrayBuffer> {
  const corners: number[] = [];
  for (let axis = 0; axis < 3; axis++)
    for (const a of [0, 1])
      for (const b of [0, 1])
        for (const end of [0, 1]) {
          const p = [0, 0, 0];
          p[axis] = end;
          p[(axis + 1) % 3] = a;
          p[(axis + 2) % 3] = b;
          corners.push(...p);
        }
  return Float32Array.from(corners);
}

export class region_outlines {
  readonly lines: LineSegments<InstancedBufferGeometry, ShaderMaterial>;
  /// Time of the last glow, this page's seconds.
  glowing_until_s = 0;
  private slots_ = new Map<string, number>();
  private keys_: string[] = [];
  private places_ = new Float32Array(4 * 64);

  /// `now_s` counts seconds since the page began, small enough for 32-bit floats.
  constructor(private readonly now_s_: () => number) {
    const geometry = new InstancedBufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(unit_box(), 3));
    geometry.instanceCount = 0;
    const material = new ShaderMaterial({
      glslVersion: GLSL3, vertexShader: vertex, fragmentShader: fragment, transparent: true, depthWrite: false,
      uniforms: { u_edge: { value: 1 }, u_now: { value: 0 }, u_calm: { value: new Color() }, u_fresh: { value: new Color() } },
    });
    this.lines = new LineSegments(geometry, material);
    this.lines.frustumCulled = false;
    this.lines.renderOrder = 2;
    this.lines.onBeforeRender = () => {
      material.uniforms["u_now"].value = this.now_s_();
      material.uniformsNeedUpdate = true;
    };
    this.share_();
  }

  restyle(colour: palette): void {
    const u = this.lines.material.uniforms;
    (u["u_calm"].value as Color).copy(colour("--outline"));
    (u["u_fresh"].value as Color).copy(colour("--outline-fresh"));
  }

  /// Edge of a region in metres.
  set_edge(edge_m: number): void {
    this.lines.material.uniforms["u_edge"].value = edge_m;
  }

  touch(at: region): void {
    const key = region_text(at);
    let slot = this.slots_.get(key);
    if (slot === undefined) {
      slot = this.keys_.length;
      this.keys_.push(key);
      this.slots_.set(key, slot);
      if (4 * slot >= this.places_.length) {
        const longer = new Float32Array(2 * this.places_.length);
        longer.set(this.places_);
        this.places_ = longer;
        this.share_();
      }
    }
    this.places_.set([at[0], at[1], at[2], this.now_s_()], 4 * slot);
    this.glowing_until_s = this.now_s_() + 2.5;
    this.changed_();
  }

  remove(at: region): void {
    const key = region_text(at);
    const slot = this.slots_.get(key);
    if (slot === undefined) return;
    const last = this.keys_.length - 1;
    this.places_.copyWithin(4 * slot, 4 * last, 4 * last + 4);
    this.keys_[slot] = this.keys_[last];
    this.slots_.set(this.keys_[slot], slot);
    this.keys_.pop();
    this.slots_.delete(key);
    this.changed_();
  }

  clear(): void {
    this.keys_ = [];
    this.slots_.clear();
    this.changed_();
  }

  private changed_(): void {
    this.lines.geometry.instanceCount = this.keys_.length;
    this.lines.geometry.getAttribute("place").needsUpdate = true;
  }

  /// A longer attribute needs a new buffer on the GPU: the old one goes with the geometry's.
  private share_(): void {
    this.lines.geometry.dispose();
    this.lines.geometry.setAttribute("place", new InstancedBufferAttribute(this.places_, 4));
  }
}
