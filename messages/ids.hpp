#pragma once
// Names of things: each its own type, so that no two kinds can be mixed up.

#include <compare>
#include <cstdint>
#include <functional>
#include <string>

namespace tessera {

/// Names a keyframe; chosen by its producer, 1 to 256 bytes. A keyframe counts once by its id, and an id is unique within its
/// session: a producer that starts again, and numbers from 0 again, names another session.
struct keyframe_id {
  static constexpr size_t max_bytes = 256;
  static constexpr size_t max_session_bytes = 64;
  std::string value;
  std::string session = {}; ///< empty: the one that producers without sessions share
  friend bool operator==(const keyframe_id&, const keyframe_id&) = default;
  friend auto operator<=>(const keyframe_id&, const keyframe_id&) = default;
};

/// The id as people see it: its session, if it has one, a slash, and the id.
inline std::string shown(const keyframe_id& id) {
  return id.session.empty() ? id.value : id.session + "/" + id.value;
}

/// Names a region: region (x, y, z) owns the voxels v with x*R <= v.x < (x+1)*R, and so on, R being the region size in voxels.
struct region_key {
  int32_t x = 0, y = 0, z = 0;
  friend bool operator==(const region_key&, const region_key&) = default;
  friend auto operator<=>(const region_key&, const region_key&) = default;
};

/// Names a device of a node: 0 is the CPU backend or the first GPU.
struct device_id {
  uint32_t value = 0;
  friend bool operator==(const device_id&, const device_id&) = default;
  friend auto operator<=>(const device_id&, const device_id&) = default;
};

} // namespace tessera

template <>
struct std::hash<tessera::keyframe_id> {
  size_t operator()(const tessera::keyframe_id& id) const noexcept {
    const std::hash<std::string> h;
    return h(id.value) ^ (id.session.empty() ? 0 : h(id.session) * 0x9e3779b97f4a7c15u);
  }
};

template <>
struct std::hash<tessera::region_key> {
  size_t operator()(const tessera::region_key& k) const noexcept {
    auto h = static_cast<uint64_t>(static_cast<uint32_t>(k.x)) * 0x9e3779b97f4a7c15u;
    h = (h ^ (h >> 29) ^ static_cast<uint32_t>(k.y)) * 0xbf58476d1ce4e5b9u;
    h = (h ^ (h >> 32) ^ static_cast<uint32_t>(k.z)) * 0x94d049bb133111ebu;
    return h ^ (h >> 31);
  }
};
