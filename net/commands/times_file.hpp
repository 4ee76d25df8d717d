#pragma once

#include "gpu/map/offline_map.hpp"

#include <fstream>
#include <string>
#include <vector>

namespace tessera {

/// A CSV file of how long each keyframe took, for plots of cost against the size of the map.
class times_file {
public:
  /// Opens it, so that a path that cannot be is told before the work. Empty: there is none. Throws std::system_error.
  explicit times_file(const std::string& path);
  /// Writes a line for each keyframe, numbered from 0: milliseconds of each stage. Throws std::runtime_error if the disk takes
  /// no more.
  void write(const std::vector<stage_times>& times);

private:
  std::string path_;
  std::ofstream out_;
};

} // namespace tessera
