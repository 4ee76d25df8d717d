#pragma once

#include <cstdint>

namespace tessera {

/// What a synthetic scan is like. Equal options give equal keyframes, bit for bit, on any machine.
struct synthetic_options {
  /// Image size in pixels; one point a pixel.
  uint32_t width = 224, height = 224;
  /// Whole horizontal field of view, degrees, 20 to 150.
  float view_deg = 80;
  /// Standard deviation of the measured range, metres.
  float noise_m = 0;
  /// Share of points that lie anywhere along their ray, 0 to 1.
  float outliers = 0;
  /// Of the noise and the outliers.
  uint64_t seed = 1;
  /// Keyframes of one way through the scene; 0: the scene's own number (room 200, building 10,000).
  uint32_t keyframes = 0;
  /// How often the way is gone; 0: for ever. Each time the keyframes have new ids and new noise.
  uint64_t loops = 1;

  /// Throws std::invalid_argument that names the option and its bounds.
  void validate() const;
};

} // namespace tessera
