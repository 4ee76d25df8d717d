#include "net/sources/synthetic/exact_math.hpp"

namespace tessera {

double turn_sin(double turns) {
  double t = turns - std::floor(turns + 0.5); // -0.5 .. 0.5
  // Fold to -0.25 .. 0.25, where the Taylor series to x^13 is good to 1e-10.
  if (t > 0.25)
    t = 0.5 - t;
  else if (t < -0.25)
    t = -0.5 - t;
  double x = t * 6.283185307179586, x2 = x * x;
  return x * (1 - x2 / 6 * (1 - x2 / 20 * (1 - x2 / 42 * (1 - x2 / 72 * (1 - x2 / 110 * (1 - x2 / 156))))));
}

uint64_t hash_of(uint64_t a, uint64_t b) {
  auto mix = [](uint64_t z) {
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  };
  return mix(mix(a) ^ b);
}

float bell_float(uint64_t bits) {
  uint64_t more = hash_of(bits, 1);
  int64_t sum = 0;
  for (int shift = 0; shift < 64; shift += 16)
    sum += static_cast<int64_t>((bits >> shift & 0xffff) + (more >> shift & 0xffff));
  // Eight uniform numbers of 0..65535: mean 8 * 32767.5, variance 8 * 65536^2 / 12.
  return static_cast<float>(sum - 262140) * (1.0f / 53510.0f);
}

float value_noise(float x, float y, uint32_t seed) {
  float fx = std::floor(x), fy = std::floor(y);
  auto ix = static_cast<int32_t>(fx), iy = static_cast<int32_t>(fy);
  auto corner = [&](int32_t cx, int32_t cy) {
    auto h = static_cast<uint32_t>(cx) * 0x8da6b343u ^ static_cast<uint32_t>(cy) * 0xd8163841u ^ seed * 0xcb1ab31fu;
    h = (h ^ (h >> 15)) * 0x2c1b3c6du;
    h = (h ^ (h >> 12)) * 0x297a2d39u;
    return static_cast<float>((h ^ (h >> 15)) >> 8) * (1.0f / 16777216.0f);
  };
  float tx = smooth_step(0, 1, x - fx), ty = smooth_step(0, 1, y - fy);
  float low = corner(ix, iy) + (corner(ix + 1, iy) - corner(ix, iy)) * tx;
  float high = corner(ix, iy + 1) + (corner(ix + 1, iy + 1) - corner(ix, iy + 1)) * tx;
  return low + (high - low) * ty;
}

} // namespace tessera
