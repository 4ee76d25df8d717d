// How a region's surface is drawn, in every shading mode, by one shader program.

import { DoubleSide, FrontSide, GLSL3, ShaderMaterial, Vector3 } from "three";
import type { shading } from "./settings";

/// Colours of ages, from just now to `oldest_s` and more; the legend shows the same.
export const age_colours = ["#fff1c4", "#f6a65a", "#b4557e", "#4c4a82", "#27344a"];
export const oldest_s = 120;

const mode_of: Record<shading, number> = { colour: 0, photo: 1, clay: 2, normals: 3, region: 4, age: 5 };

const vertex = /* glsl */ `
in vec2 bearing;
in vec4 tint;
out vec3 v_colour;
out vec3 v_normal;
out vec3 v_world_normal;
out vec3 v_view;

vec3 unfold(vec2 e) {
  vec3 n = vec3(e, 1.0 - abs(e.x) - abs(e.y));
  if (n.z < 0.0) n.xy = (1.0 - abs(n.yx)) * vec2(n.x >= 0.0 ? 1.0 : -1.0, n.y >= 0.0 ? 1.0 : -1.0);
  return normalize(n);
}

void main() {
  vec3 n = unfold(bearing);
  v_colour = tint.rgb;
  v_normal = normalMatrix * n;
  v_world_normal = mat3(modelMatrix) * n;
  vec4 p = modelViewMatrix * vec4(position, 1.0);
  v_view = -p.xyz;
  gl_Position = projectionMatrix * p;
}`;

const fragment = /* glsl */ `
precision highp float;
uniform int u_mode;
uniform float u_age;
uniform vec3 u_region;
uniform vec3 u_ages[5];
in vec3 v_colour;
in vec3 v_normal;
in vec3 v_world_normal;
in vec3 v_view;
layout(location = 0) out highp vec4 pixel;

vec3 to_linear(vec3 c) {
  return mix(c / 12.92, pow((c + 0.055) / 1.055, vec3(2.4)), step(0.04045, c));
}
vec3 to_srgb(vec3 c) {
  c = clamp(c, 0.0, 1.0);
  return mix(c * 12.92, 1.055 * pow(c, vec3(1.0 / 2.4)) - 0.055, step(0.0031308, c));
}

void main() {
  float side = gl_FrontFacing ? 1.0 : -1.0;
  vec3 n = normalize(v_normal) * side;
  vec3 w = normalize(v_world_normal) * side;
  float facing = max(dot(n, normalize(v_view)), 0.0);
  float sky = 0.5 + 0.5 * w.y;
  float light = 0.34 + 0.18 * sky + 0.5 * facing;

  vec3 c;
  if (u_mode == 1) c = to_linear(v_colour);
  else if (u_mode == 2) c = to_linear(vec3(0.80, 0.82, 0.85)) * (0.10 + 0.22 * sky + 0.62 * facing * facing);
  else if (u_mode == 3) c = to_linear(0.5 + 0.5 * w);
  else if (u_mode == 4) c = to_linear(u_region) * light;
  else if (u_mode == 5) {
    float t = clamp(log2(1.0 + u_age) / log2(1.0 + ${oldest_s.toFixed(1)}), 0.0, 1.0) * 4.0;
    int i = min(int(t), 3);
    c = to_linear(mix(u_ages[i], u_ages[i + 1], t - float(i))) * light;
  } else c = to_linear(v_colour) * light;
  if (!gl_FrontFacing) c = mix(c, vec3(dot(c, vec3(0.3, 0.6, 0.1))), 0.6) * 0.35;
  pixel = vec4(to_srgb(c), 1.0);
}`;

/// Components of "#rrggbb", 0 to 1, still sRGB: the shader turns them linear itself.
export function hex_components(hex: string): Vector3 {
  const n = parseInt(hex.slice(1), 16);
  return new Vector3(((n >> 16) & 255) / 255, ((n >> 8) & 255) / 255, (n & 255) / 255);
}

/// One material for all regions; what differs between them is set just before each is drawn.
export class surface_material extends ShaderMaterial {
  constructor() {
    super({
      glslVersion: GLSL3,
      vertexShader: vertex,
      fragmentShader: fragment,
      uniforms: {
        u_mode: { value: 0 },
        u_age: { value: 0 },
        u_region: { value: new Vector3(1, 1, 1) },
        u_ages: { value: age_colours.map(hex_components) },
      },
    });
  }

  set_shading(mode: shading): void {
    this.uniforms["u_mode"].value = mode_of[mode];
    this.uniformsNeedUpdate = true;
  }

  set_backfaces(shown: boolean): void {
    this.side = shown ? DoubleSide : FrontSide;
    this.needsUpdate = true;
  }

  set_region(colour: Vector3, age_s: number): void {
    (this.uniforms["u_region"].value as Vector3).copy(colour);
    this.uniforms["u_age"].value = age_s;
    this.uniformsNeedUpdate = true;
  }
}
