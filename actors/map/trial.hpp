#pragma once

#include "actors/map/change_queue.hpp"
#include "messages/ray.hpp"

#include <deque>
#include <optional>

namespace tessera {

/// Keyframes over one of which a region's mesher died again and again, when it is not known which: they are taken out of the map,
/// and when the mesher has made a surface without them, they are put back one at a time, each until it is in a surface. The one
/// over which the mesher dies then is known.
struct trial {
  /// A keyframe that is out.
  struct suspect {
    change_ptr change; ///< in which all of it happens, so that nothing else is done about the keyframe meanwhile
    ray_batch rays;
    pose world_from_camera;
    uint64_t stamp = 0; ///< of its insertion
  };
  /// How often the mesher may die without any of them before it is given up that it is one of them.
  static constexpr uint32_t most_deaths_without = 3;

  size_t leaving = 0;             ///< are being taken out
  std::deque<suspect> out{};      ///< and wait for their turn
  std::optional<suspect> in_hand; ///< is being put back, or was
  uint64_t serial = 0;            ///< of the insertion of the one in hand; 0 until it is there
  bool made_without = false;      ///< the mesher has made a surface without all of them
  uint32_t deaths_without = 0;
  bool given_up = false; ///< they are put back whatever happens
  uint64_t question = 0; ///< number of the question to the mesher that counts
};

} // namespace tessera
