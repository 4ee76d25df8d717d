// How a region's surface is drawn, in every shading mode, by one shader program.

import { DoubleSide, FrontSide, GLSL3, ShaderMaterial, Vector3 } from "three";
import type { shading } from "../ui/settings";

/// Colours of ages, from just now to `oldest_s` and more; the legend shows the same.
export const age_colours = ["#fff1c4", "#f7ad5c", "#d2728c", "#9a86c4", "#8aa4c8"];
export const oldest_s = 120;
/// Colours of heights, from the lowest to the highest.
export const height_colours = ["#4a3f9e", "#2f74b5", "#23a0a0", "#4dc46c", "#b5d93a", "#fde047"];

const mode_of: Record<shading, number> = { colour: 0, photo: 1, clay: 2, normals: 3, region: 4, age: 5, height: 6 };

const vertex = /* glsl */ `
in vec2 bearing;
in vec4 tint;
out vec3 v_colour;
out vec3 v_normal;
out vec3 v_world_normal;
out vec3 v_view;
out vec3 v_world;

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
  v_world = (modelMatrix * vec4(position, 1.0)).xyz;
  vec4 p = modelViewMatrix * vec4(position, 1.0);
  v_view = -p.xyz;
  gl_Position = projectionMatrix * p;
}`;

/// Back faces are veils: grey, and let through most of what is behind them. Which samples of a pixel they cover is left to the
/// GPU (alpha to coverage), so that nothing needs sorting; without multisampling, to a pattern of pixels.
const fragment = /* glsl */ `
precision highp float;
uniform int u_mode;
uniform float u_age;
uniform vec3 u_region;
uniform vec3 u_ages[${age_colours.length}];
uniform vec3 u_heights[${height_colours.length}];
uniform vec2 u_height_range;
uniform vec3 u_clip_low;
uniform vec3 u_clip_high;
uniform bool u_pattern;
in vec3 v_colour;
in vec3 v_normal;
in vec3 v_world_normal;
in vec3 v_view;
in vec3 v_world;
layout(location = 0) out highp vec4 pixel;

const float veil = 0.3;

vec3 to_linear(vec3 c) {
  return mix(c / 12.92, pow((c + 0.055) / 1.055, vec3(2.4)), step(0.04045, c));
}
vec3 to_srgb(vec3 c) {
  c = clamp(c, 0.0, 1.0);
  return mix(c * 12.92, 1.055 * pow(c, vec3(1.0 / 2.4)) - 0.055, step(0.0031308, c));
}

void main() {
  if (any(lessThan(v_world, u_clip_low)) || any(greaterThan(v_world, u_clip_high))) discard;
  bool back = !gl_FrontFacing;
  float side = back ? -1.0 : 1.0;
  if (back && u_pattern && fract(dot(floor(gl_FragCoord.xy), vec2(0.5, 0.25))) > 0.2) discard;
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
    float t = clamp(log2(1.0 + u_age) / log2(1.0 + ${oldest_s.toFixed(1)}), 0.0, 1.0) * ${(age_colours.length - 1).toFixed(1)};
    int i = min(int(t), ${age_colours.length - 2});
    c = to_linear(mix(u_ages[i], u_ages[i + 1], t - float(i))) * light;
  } else if (u_mode == 6) {
    float along = (v_world.y - u_height_range.x) / (u_height_range.y - u_height_range.x);
    float t = clamp(along, 0.0, 1.0) * ${(height_colours.length - 1).toFixed(1)};
    int i = min(int(t), ${height_colours.length - 2});
    c = to_linear(mix(u_heights[i], u_heights[i + 1], t - float(i))) * light;
  } else c = to_linear(v_colour) * light;
  if (back) c = mix(c, vec3(dot(c, vec3(0.3, 0.6, 0.1))), 0.55) * 0.8 + 0.02;
  pixel = vec4(to_srgb(c), back ? veil : 1.0);
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
      side: DoubleSide,
      alphaToCoverage: true,
      uniforms: {
        u_mode: { value: 0 },
        u_age: { value: 0 },
        u_region: { value: new Vector3(1, 1, 1) },
        u_ages: { value: age_colours.map(hex_components) },
        u_heights: { value: height_colours.map(hex_components) },
        u_height_range: { value: [0, 1] },
        u_clip_low: { value: new Vector3().setScalar(-1e30) },
        u_clip_high: { value: new Vector3().setScalar(1e30) },
        u_pattern: { value: false },
      },
    });
  }

  set_shading(mode: shading): void {
    this.uniforms["u_mode"].value = mode_of[mode];
    this.uniformsNeedUpdate = true;
  }

  /// Back faces as veils, or not at all.
  set_backfaces(shown: boolean): void {
    this.side = shown ? DoubleSide : FrontSide;
    this.needsUpdate = true;
  }

  /// Heights (world y) of the first and the last colour.
  set_heights(low: number, high: number): void {
    this.uniforms["u_height_range"].value = [low, Math.max(high, low + 1e-6)];
    this.uniformsNeedUpdate = true;
  }

  /// Only what is between these corners (world space) is drawn.
  set_clip(low: Vector3, high: Vector3): void {
    (this.uniforms["u_clip_low"].value as Vector3).copy(low);
    (this.uniforms["u_clip_high"].value as Vector3).copy(high);
    this.uniformsNeedUpdate = true;
  }

  /// The canvas has only one sample a pixel.
  set_pattern(on: boolean): void {
    this.uniforms["u_pattern"].value = on;
    this.alphaToCoverage = !on;
    this.needsUpdate = true;
  }

  set_region(colour: Vector3, age_s: number): void {
    (this.uniforms["u_region"].value as Vector3).copy(colour);
    this.uniforms["u_age"].value = age_s;
    this.uniformsNeedUpdate = true;
  }
}
