#pragma once
// What is refused because it would cost too much.

#include "gpu/map_settings.hpp"

#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

namespace tessera {

/// Regions that one keyframe may touch. Each costs its own memory, a mesh and a patch, also where little is written to it: some
/// 60 KB and a millisecond of a core, so that this many are half a gigabyte and ten seconds at least. Where much is written they
/// cost far more, which memory-cap and a GPU's memory-pool bound. A depth camera's keyframe touches some hundreds; a lidar's that
/// reaches 100 m at 5 cm some thousands.
inline constexpr uint32_t most_keyframe_regions = 8192;

/// A keyframe that would write to more than one may. The text has the field, the value and the bound. partition_rays() throws it.
class keyframe_too_large : public std::runtime_error {
public:
  /// It touches so many regions, or `at_least` so many.
  keyframe_too_large(const map_settings& map, uint64_t regions, bool at_least);
};

/// Want of memory under a setting of ours, not of the machine's: the text names it.
class no_room : public std::bad_alloc {
public:
  explicit no_room(std::string text) : text_(std::make_shared<const std::string>(std::move(text))) {}
  [[nodiscard]] const char* what() const noexcept override { return text_->c_str(); }

private:
  std::shared_ptr<const std::string> text_; ///< an exception that is copied must not throw
};

/// The cap of the CPU's fields is reached.
class memory_cap_reached : public no_room {
public:
  explicit memory_cap_reached(uint64_t cap_bytes);
};

/// A GPU's pool, or the cap of the CPU's fields, cannot hold what one keyframe writes to, also if it holds nothing else: it would
/// be refused again.
class pool_too_small : public no_room {
public:
  using no_room::no_room;
};

} // namespace tessera
