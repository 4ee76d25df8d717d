#pragma once

#include <string>

namespace tessera {

/// How depth images are read.
struct rgbd_options {
  /// Depths beyond this are left out, metres.
  float max_depth_m = 4;
  /// How many of a depth image's units are a metre.
  float depth_scale = 1000;
  /// Session of the frames' ids: 0 to 64 bytes of UTF-8 without control characters.
  std::string session = {};

  /// Throws std::invalid_argument that names the option and its bounds.
  void validate() const;
};

} // namespace tessera
