// A faint grid below the map that gives scale: lines one metre (or 0.1, 10, ... of the map's units) apart, fading outwards.

import { Color, GLSL3, Mesh, PlaneGeometry, ShaderMaterial } from "three";
import type { palette } from "./theme";

const vertex = /* glsl */ `
out vec2 v_place;
uniform float u_reach;
void main() {
  v_place = position.xz * u_reach;
  gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0);
}`;

const fragment = /* glsl */ `
precision highp float;
in vec2 v_place;
uniform float u_reach;
uniform float u_step;
uniform vec3 u_colour;
layout(location = 0) out highp vec4 pixel;
float line(vec2 p, float gap) {
  vec2 q = p / gap, w = fwidth(q);
  vec2 d = abs(fract(q - 0.5) - 0.5) / max(w, 1e-6);
  float fine = 1.0 - smoothstep(0.25, 0.6, max(w.x, w.y));
  return (1.0 - min(min(d.x, d.y), 1.0)) * fine;
}
void main() {
  float fade = 1.0 - smoothstep(0.25, 1.0, length(v_place) / u_reach);
  float strength = max(0.16 * line(v_place, u_step), 0.3 * line(v_place, 10.0 * u_step));
  pixel = vec4(u_colour, strength * fade);
}`;

export class ground_grid {
  readonly mesh: Mesh<PlaneGeometry, ShaderMaterial>;
  step_m = 1;

  constructor() {
    const plane = new PlaneGeometry(2, 2).rotateX(-Math.PI / 2);
    const material = new ShaderMaterial({
      glslVersion: GLSL3, vertexShader: vertex, fragmentShader: fragment, transparent: true, depthWrite: false, side: 2,
      uniforms: { u_reach: { value: 10 }, u_step: { value: 1 }, u_colour: { value: new Color() } },
    });
    this.mesh = new Mesh(plane, material);
    this.mesh.renderOrder = 1;
    this.mesh.frustumCulled = false;
    this.mesh.visible = false;
  }

  restyle(colour: palette): void {
    (this.mesh.material.uniforms["u_colour"].value as Color).copy(colour("--grid"));
  }

  /// Lies under a scene of `radius_m` around (x, z), at height y.
  place(x: number, y: number, z: number, radius_m: number): void {
    this.step_m = 10 ** Math.round(Math.log10(Math.max(radius_m, 1e-6) / 5));
    const reach = Math.max(4 * radius_m, 10 * this.step_m);
    this.mesh.position.set(Math.round(x / this.step_m) * this.step_m, y, Math.round(z / this.step_m) * this.step_m);
    this.mesh.scale.set(reach, 1, reach);
    this.mesh.material.uniforms["u_reach"].value = reach;
    this.mesh.material.uniforms["u_step"].value = this.step_m;
  }
}
