#pragma once
// Arithmetic whose last bit is the same on every machine: only + - * / sqrt and floor (no libm, no
// contraction into FMA).

#include <array>
#include <cmath>
#include <cstdint>

namespace tessera {

/// Three floats with the few operations that the synthetic scenes need.
struct vec3 {
  float x = 0, y = 0, z = 0;
  friend vec3 operator+(vec3 a, vec3 b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
  friend vec3 operator-(vec3 a, vec3 b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
  friend vec3 operator*(vec3 a, float s) { return {a.x * s, a.y * s, a.z * s}; }
  friend vec3 operator*(vec3 a, vec3 b) { return {a.x * b.x, a.y * b.y, a.z * b.z}; }
  friend bool operator==(const vec3&, const vec3&) = default;
};

inline float dot(vec3 a, vec3 b) {
  return a.x * b.x + a.y * b.y + a.z * b.z;
}
inline vec3 cross(vec3 a, vec3 b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}
inline float length(vec3 a) {
  return std::sqrt(dot(a, a));
}
inline vec3 normalised(vec3 a) {
  return a * (1 / length(a));
}
inline vec3 mixed(vec3 a, vec3 b, float t) {
  return a + (b - a) * t;
}
inline float clamped(float v, float low, float high) {
  return v < low ? low : v > high ? high : v;
}
inline float smooth_step(float low, float high, float v) {
  float t = clamped((v - low) / (high - low), 0, 1);
  return t * t * (3 - 2 * t);
}

/// Sine of a full turn's fraction: sin(2 pi turns). Error below 1e-6.
double turn_sin(double turns);
/// Cosine likewise.
inline double turn_cos(double turns) {
  return turn_sin(turns + 0.25);
}

/// A well mixed hash of two words (splitmix64's finaliser, twice).
uint64_t hash_of(uint64_t a, uint64_t b);

/// A number in [0, 1) from 24 bits of a hash.
inline float unit_float(uint64_t bits) {
  return static_cast<float>(bits >> 40) * (1.0f / 16777216.0f);
}

/// A number with mean 0 and standard deviation 1 from the hash's bits and those of its successor: the sum of
/// eight uniform numbers, within 2 % of a normal distribution out to 2.5 sigma, and never beyond 4.9.
float bell_float(uint64_t bits);

/// Smooth noise between 0 and 1 in the plane, one bump a unit.
float value_noise(float x, float y, uint32_t seed);

} // namespace tessera
