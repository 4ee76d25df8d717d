// How the synthetic room looks: procedural colours and baked light, all in exact arithmetic.

#include "net/sources/synthetic/synthetic_room.hpp"

namespace tessera {

namespace {

vec3 rgb(int hex) {
  return vec3{static_cast<float>(hex >> 16 & 255), static_cast<float>(hex >> 8 & 255), static_cast<float>(hex & 255)}
         * (1.0f / 255.0f);
}

float fraction(float v) {
  return v - std::floor(v);
}
float distance_to_edge(float v) { // of unit cells
  float f = fraction(v);
  return f < 0.5f ? f : 1 - f;
}
float random_cell(float a, float b, uint32_t salt) {
  return unit_float(hash_of(static_cast<uint64_t>(static_cast<int64_t>(std::floor(a))) * 7919 + salt,
                            static_cast<uint64_t>(static_cast<int64_t>(std::floor(b)))));
}

/// Grain along the first coordinate.
vec3 wood(float along, float across, vec3 light, vec3 dark, uint32_t seed) {
  float grain = value_noise(along * 3, across * 40, seed) * 0.6f + value_noise(along * 11, across * 130, seed + 1) * 0.4f;
  return mixed(dark, light, smooth_step(0.15f, 0.9f, grain));
}

vec3 planks(float along, float across) {
  constexpr float width = 0.16f, piece = 1.3f;
  float row = std::floor(across / width);
  float shift = random_cell(row, 3, 11) * piece;
  float tone = random_cell(row, (along + shift) / piece, 17);
  vec3 c = wood(along + 7 * tone, across, rgb(0xc99a66), rgb(0x9a6a3c), 5) * (0.82f + 0.3f * tone);
  float gap = std::min(distance_to_edge(across / width) * width, distance_to_edge((along + shift) / piece) * piece);
  return c * (0.55f + 0.45f * smooth_step(0.001f, 0.005f, gap));
}

vec3 rug(float x, float y, vec3 main) {
  float ex = x / 1.9f, ey = y / 1.45f, r = std::sqrt(ex * ex + ey * ey);
  vec3 cream = rgb(0xe9dfc8), ink = rgb(0x2f3b52);
  vec3 c = main;
  if (r > 0.9f)
    c = ink;
  else if (r > 0.84f)
    c = cream;
  else if (r > 0.6f)
    c = fraction(r * 12.5f) < 0.5f ? main * 1.15f : main * 0.82f;
  else if (distance_to_edge(x * 2.2f + y * 2.2f) + distance_to_edge(x * 2.2f - y * 2.2f) < 0.42f)
    c = cream;
  return c * (0.9f + 0.2f * value_noise(x * 90, y * 90, 23));
}

vec3 landscape(float u, float v) { // u, v in 0..1, v up
  vec3 sky = mixed(rgb(0xf9b26b), rgb(0x35598f), smooth_step(0.35f, 1, v));
  float sx = (u - 0.66f) * 1.5f, sy = v - 0.56f;
  sky = mixed(sky, rgb(0xfff1c4), 1 - smooth_step(0.07f, 0.085f, std::sqrt(sx * sx + sy * sy)));
  float far = 0.42f + 0.2f * value_noise(u * 4, 1, 31), near = 0.22f + 0.22f * value_noise(u * 3 + 5, 2, 32);
  if (v < near)
    return mixed(rgb(0x1f3d36), rgb(0x2f5d4a), v / near);
  if (v < far)
    return mixed(rgb(0x4c6a86), rgb(0x8a86a0), v / far);
  return sky;
}

vec3 squares(float u, float v) { // an abstract picture
  static constexpr int palette[6] = {0xd94f3d, 0xf2c14e, 0x2e5aa7, 0xf4efe6, 0x1d2733, 0x3d9a8b};
  float pu = u * 5, pv = v * 4;
  float joint = std::min(distance_to_edge(pu), distance_to_edge(pv));
  auto k = static_cast<int>(random_cell(pu, pv, 41) * 6);
  return joint < 0.03f ? rgb(0x1d2733) : rgb(palette[k]);
}

vec3 spines(float y, float z, uint32_t salt) {
  float wide = 0.045f, row = y / wide;
  static constexpr int palette[8] = {0x8c2f39, 0x2e5e4e, 0x274060, 0xd9a441, 0x6b4c7d, 0xc8bfa8, 0x3a6ea5, 0xb5562f};
  auto k = static_cast<int>(random_cell(row, 0, salt) * 8);
  vec3 c = rgb(palette[k]);
  float band = fraction(z * 2.1f + random_cell(row, 1, salt));
  if (band > 0.42f && band < 0.5f)
    c = mixed(c, rgb(0xf3e3b3), 0.75f);
  return c * (0.6f + 0.4f * smooth_step(0.02f, 0.12f, distance_to_edge(row)));
}

vec3 crate_boards(float a, float b, vec3 tone) {
  float edge = std::min(distance_to_edge(b / 0.14f) * 0.14f, 1.0f);
  return wood(a, b, tone, tone * 0.72f, 61) * (0.5f + 0.5f * smooth_step(0.001f, 0.006f, edge));
}

vec3 tint(uint32_t variant, int base, uint32_t salt) {
  if (variant == 0)
    return rgb(base);
  static constexpr int others[8] = {0x2f6f73, 0x9c4f3f, 0x49608c, 0x6d7f4a, 0x7c5274, 0xb0813a, 0x3f6e8f, 0x8a5a5a};
  return rgb(others[hash_of(variant, salt) % 8]);
}

/// The colour without light.
vec3 base_colour(const solid& s, vec3 p, vec3 n, uint32_t variant) {
  vec3 rel = p - s.centre;
  bool faces_x = n.x > 0.5f || n.x<-0.5f, up = n.z> 0.5f || n.z < -0.5f;
  float u = faces_x ? p.y : p.x, v = up ? p.y : p.z; // coordinates on a box's face
  switch (s.look) {
  case paint::floor: {
    float ex = p.x / 1.9f, ey = p.y / 1.45f;
    return ex * ex + ey * ey < 1 ? rug(p.x, p.y, tint(variant, 0xb5473c, 1)) : planks(p.x, p.y);
  }
  case paint::ceiling:
    return rgb(0xf6f3ec) * (0.97f + 0.03f * value_noise(p.x * 30, p.y * 30, 3));
  case paint::accent:
  case paint::plaster: {
    vec3 wall = s.look == paint::accent ? tint(variant, 0x2f7f7d, 2) : rgb(0xe8dcc6);
    if (p.z < 0.12f)
      return rgb(0xf7f4ee) * (p.z > 0.11f ? 0.7f : 1.0f); // skirting
    if (s.look == paint::plaster && p.z < 0.95f) {
      // Panelling.
      float joint = distance_to_edge(u / 0.25f) * 0.25f;
      vec3 panel = rgb(0xb9c4bb) * (0.75f + 0.25f * smooth_step(0.003f, 0.012f, joint));
      return p.z > 0.9f ? rgb(0xf2eee4) : panel;
    }
    return wall * (0.93f + 0.07f * value_noise(u * 14, p.z * 14, 7) + 0.03f * value_noise(u * 70, p.z * 70, 8));
  }
  case paint::table:
    return up ? wood(p.x, p.y, rgb(0xb37a45), rgb(0x7b4a26), 51) : wood(u, v, rgb(0xa56d3c), rgb(0x6d4020), 52);
  case paint::shelf: {
    float board = distance_to_edge((p.z - 0.54f) / 0.48f) * 0.48f;
    vec3 c = wood(v, u, rgb(0xe3cda8), rgb(0xc2a67a), 53);
    return faces_x && p.z > 0.5f && board > 0.03f ? c * 0.62f : c;
  }
  case paint::books:
    return up ? rgb(0xede6d3) * (0.85f + 0.15f * fraction(u * 120)) : spines(u, p.z, static_cast<uint32_t>(s.centre.z * 64));
  case paint::chair: {
    vec3 c = s.shape == solid::form::box ? rgb(0xe0a43a) : rgb(0xd8693f);
    float weave = distance_to_edge(p.x * 45) + distance_to_edge(p.y * 45 + p.z * 45);
    return c * (0.85f + 0.2f * weave);
  }
  case paint::sofa: {
    float weave = value_noise(u * 120, v * 120, 71) * 0.12f + value_noise(u * 5, v * 5, 72) * 0.1f;
    float seam = distance_to_edge((p.y + 1.05f) / 0.633f) * 0.633f;
    return tint(variant, 0x4a6382, 3) * (0.86f + weave) * (0.7f + 0.3f * smooth_step(0.004f, 0.02f, seam));
  }
  case paint::cushion: {
    bool stripe = fraction((p.z + p.y) * 7) < 0.5f;
    return stripe ? rgb(0xf0b23e) : rgb(0xf5ead2);
  }
  case paint::crate:
    return crate_boards(faces_x ? p.y : p.x, v, s.half.x > 0.3f ? rgb(0xd2a86a) : rgb(0xb98a55));
  case paint::pillar: {
    float vein = value_noise(p.x * 6 + p.z * 2, p.y * 6 + p.z * 3, 81) - value_noise(p.x * 15, p.z * 15 + p.y * 9, 82) * 0.4f;
    return mixed(rgb(0xf1ede6), rgb(0x9aa0a6), 1 - smooth_step(0.02f, 0.14f, vein < 0 ? -vein : vein));
  }
  case paint::globe: {
    vec3 d = rel * (1 / s.half.x);
    float land = value_noise(d.x * 2.2f + d.z * 1.3f + 9, d.y * 2.2f - d.z * 0.9f + 4, 91) * 0.65f
                 + value_noise(d.x * 6 - d.z * 5, d.y * 6 + d.z * 4, 92) * 0.35f;
    if (d.z > 0.88f || d.z < -0.9f)
      return rgb(0xf4f7fa);
    return land > 0.53f ? mixed(rgb(0x6f9a4a), rgb(0xc9b277), smooth_step(0.55f, 0.7f, land))
                        : mixed(rgb(0x1f4e8c), rgb(0x3d83bd), land * 1.8f);
  }
  case paint::stand:
    return rgb(0x3a332e);
  case paint::pot:
    return rgb(p.z > 0.36f ? 0xd98a5f : 0xc26f45) * (0.9f + 0.1f * value_noise(p.x * 40, p.z * 9 + p.y * 40, 95));
  case paint::leaves: {
    float leaf = value_noise(p.x * 22 + p.z * 9, p.y * 22 - p.z * 13, 96);
    return mixed(rgb(0x1f5a34), rgb(0x7fb55a), smooth_step(0.2f, 0.85f, leaf));
  }
  case paint::frame:
    return rgb(0xf4f0e7);
  case paint::picture: {
    float pu = (u - (faces_x ? s.centre.y - s.half.y : s.centre.x - s.half.x)) / (2 * (faces_x ? s.half.y : s.half.x));
    float pv = (p.z - (s.centre.z - s.half.z)) / (2 * s.half.z);
    return faces_x ? landscape(pu, pv) : squares(pu, pv);
  }
  case paint::window: {
    vec3 sky = mixed(rgb(0xdff1ff), rgb(0x74b6ee), smooth_step(1.2f, 2.2f, p.z));
    float cloud = value_noise(p.x * 2.5f, p.z * 5, 98) * 0.7f + value_noise(p.x * 7, p.z * 12, 99) * 0.3f;
    if (p.z < 1.3f + 0.08f * value_noise(p.x * 5, 0, 97))
      return rgb(0x7fa866);
    return mixed(sky, rgb(0xffffff), smooth_step(0.5f, 0.75f, cloud));
  }
  case paint::lamp:
    return rgb(0xfff6dc);
  case paint::rug:
    break;
  }
  return rgb(0x808080);
}

/// How open the room is around each point of a 10 cm grid: the distance to the nearest solid.
class openness {
public:
  openness() : data_(size_t{nx} * ny * nz) {
    for (int k = 0; k < nz; ++k)
      for (int j = 0; j < ny; ++j)
        for (int i = 0; i < nx; ++i) {
          vec3 p = room_low + vec3{static_cast<float>(i), static_cast<float>(j), static_cast<float>(k)} * step;
          float nearest = 1;
          for (const auto& s : synthetic_room::solids())
            nearest = std::min(nearest, s.distance(p));
          data_[index(i, j, k)] = nearest;
        }
  }
  [[nodiscard]] float at(vec3 p) const {
    vec3 g = (p - room_low) * (1 / step);
    float x = clamped(g.x, 0, nx - 1.001f), y = clamped(g.y, 0, ny - 1.001f), z = clamped(g.z, 0, nz - 1.001f);
    int i = static_cast<int>(x), j = static_cast<int>(y), k = static_cast<int>(z);
    float tx = x - static_cast<float>(i), ty = y - static_cast<float>(j), tz = z - static_cast<float>(k);
    auto line = [&](int b, int c) {
      float a0 = data_[index(i, b, c)], a1 = data_[index(i + 1, b, c)];
      return a0 + (a1 - a0) * tx;
    };
    auto plane = [&](int c) {
      float b0 = line(j, c), b1 = line(j + 1, c);
      return b0 + (b1 - b0) * ty;
    };
    float c0 = plane(k), c1 = plane(k + 1);
    return c0 + (c1 - c0) * tz;
  }

private:
  static constexpr float step = 0.1f;
  static constexpr int nx = 61, ny = 51, nz = 28;
  static size_t index(int i, int j, int k) { return (size_t(k) * ny + size_t(j)) * nx + size_t(i); }
  std::vector<float> data_;
};

} // namespace

std::array<uint8_t, 3> synthetic_room::colour(const solid& hit, vec3 p, vec3 n, uint32_t variant) {
  static const openness open;
  vec3 c = base_colour(hit, p, n, variant);
  if (hit.look != paint::window && hit.look != paint::lamp) {
    vec3 to_lamp = vec3{0, 0, 2.35f} - p;
    float d2 = dot(to_lamp, to_lamp), facing = dot(n, to_lamp) / std::sqrt(d2 + 0.01f);
    float lamp = (facing > 0 ? facing : 0) / (1 + 0.12f * d2);
    float day = n.y * 0.8f + n.z * 0.25f;
    float light = 0.76f + 0.03f * n.z + 0.34f * lamp + 0.16f * (day > 0 ? day : 0);
    // Corners and the places under things are darker.
    float near = clamped(open.at(p + n * 0.12f) * (1 / 0.12f), 0, 1), wide = clamped(open.at(p + n * 0.4f) * (1 / 0.4f), 0, 1);
    light *= 0.62f + 0.2f * near + 0.18f * wide;
    c = c * vec3{light * 1.02f, light, light * 0.96f};
  }
  auto byte = [](float v) { return static_cast<uint8_t>(clamped(v, 0, 1) * 255 + 0.5f); };
  return {byte(c.x), byte(c.y), byte(c.z)};
}

} // namespace tessera
