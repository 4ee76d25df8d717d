#pragma once

#include <cstdint>

namespace tessera {

/// What makes a field what it is: two maps are comparable only if these are equal.
struct map_settings {
  /// Edge of a voxel, in the map's units (metres).
  float voxel_m = 0.05f;
  /// How far before a surface is written, in metres; 1 to 16 voxels. Behind it: as far, but at most 1.875 voxels.
  float truncation_m = 0.15f;
  /// Edge of a region in voxels; a multiple of 8, 16 to 256. Does not change the map, only how it is cut.
  uint32_t region_voxels = 64;
  /// Points nearer or farther than this from the camera are left out, in metres of the keyframe's own scale.
  float min_range_m = 0.05f, max_range_m = 100.f;
  /// Points with less confidence are left out, where the producer gives confidence.
  float min_confidence = 0.f;

  /// Throws std::invalid_argument that names the value and its bounds if anything is out of them.
  void validate() const;
};

} // namespace tessera
