// What is behind the map: a soft light in the middle, darker (or lighter) at the edges. Drawn, not styled, so that pictures have
// it.

import { BufferAttribute, BufferGeometry, Color, GLSL3, Mesh, ShaderMaterial } from "three";
import type { palette } from "./theme";

const vertex = /* glsl */ `
out vec2 v_at;
void main() {
  v_at = position.xy;
  gl_Position = vec4(position.xy, 1.0, 1.0);
}`;

/// A grain of less than one step of 8 bits keeps the gradient from showing bands.
const fragment = /* glsl */ `
precision highp float;
in vec2 v_at;
uniform vec3 u_inner;
uniform vec3 u_middle;
uniform vec3 u_outer;
layout(location = 0) out highp vec4 pixel;
void main() {
  float d = length((v_at - vec2(0.0, 0.24)) / vec2(1.7, 1.3));
  vec3 c = d < 0.55 ? mix(u_inner, u_middle, d / 0.55) : mix(u_middle, u_outer, min((d - 0.55) / 0.45, 1.0));
  float grain = fract(sin(dot(gl_FragCoord.xy, vec2(12.9898, 78.233))) * 43758.5453) - 0.5;
  pixel = vec4(c + grain / 255.0, 1.0);
}`;

export class backdrop {
  readonly mesh: Mesh<BufferGeometry, ShaderMaterial>;

  constructor() {
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(Float32Array.of(-1, -1, 0, 3, -1, 0, -1, 3, 0), 3));
    const material = new ShaderMaterial({
      glslVersion: GLSL3, vertexShader: vertex, fragmentShader: fragment, depthTest: false, depthWrite: false,
      uniforms: { u_inner: { value: new Color() }, u_middle: { value: new Color() }, u_outer: { value: new Color() } },
    });
    this.mesh = new Mesh(geometry, material);
    this.mesh.frustumCulled = false;
    this.mesh.renderOrder = -10;
  }

  restyle(colour: palette): void {
    const u = this.mesh.material.uniforms;
    (u["u_inner"].value as Color).copy(colour("--sky"));
    (u["u_middle"].value as Color).copy(colour("--back"));
    (u["u_outer"].value as Color).copy(colour("--back-deep"));
  }
}
