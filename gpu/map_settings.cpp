#include "gpu/map_settings.hpp"

#include <cmath>
#include <sstream>
#include <stdexcept>

namespace tessera {

namespace {

void check(bool good, const char* name, double value, const char* bound) {
  if (good)
    return;
  std::ostringstream text;
  text << name << " is " << value << ", but must be " << bound;
  throw std::invalid_argument(text.str());
}

} // namespace

void map_settings::validate() const {
  check(std::isfinite(voxel_m) && voxel_m > 0, "voxel size", voxel_m, "finite and above 0");
  const float voxels = truncation_m / voxel_m;
  check(voxels >= 0.999f && voxels <= 16.001f, "truncation", truncation_m, "1 to 16 voxels");
  check(region_voxels % 8 == 0 && region_voxels >= 16 && region_voxels <= 256, "region size", region_voxels,
        "a multiple of 8 from 16 to 256 voxels");
  check(std::isfinite(min_range_m) && min_range_m >= 0, "minimum range", min_range_m, "finite and not negative");
  check(std::isfinite(max_range_m) && max_range_m > min_range_m, "maximum range", max_range_m,
        "finite and above the minimum range");
  check(std::isfinite(min_confidence), "minimum confidence", min_confidence, "finite");
}

} // namespace tessera
