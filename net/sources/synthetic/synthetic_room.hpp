#pragma once

#include "messages/pose.hpp"
#include "net/sources/synthetic/exact_math.hpp"
#include "net/sources/synthetic/solid.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace tessera {

/// The built-in room: metres, z up, floor at z = 0, origin in the middle of the floor. It is the space that a
/// set of convex solids (walls among them) leaves free, so its surface is known exactly.
inline constexpr vec3 room_low{-3, -2.5f, 0}, room_high{3, 2.5f, 2.7f};

/// Where a ray meets the room's surface.
struct room_hit {
  /// Distance in lengths of the direction.
  float t = 0;
  /// Outward from the solid that was hit.
  vec3 normal;
  /// sRGB, light and shadow included.
  std::array<uint8_t, 3> colour{};
};

/// Unsigned distance to the room's visible surface, metres. Exact in free space; inside solids exact wherever
/// surfaces meet at right angles, as all of the room's do, and else never too small.
float room_distance(float x, float y, float z);

/// The nearest surface along a ray that starts in free space; nothing only if it starts outside of the room.
std::optional<room_hit> room_cast(vec3 origin, vec3 direction);

/// World_from_camera of a step of the way through the room: x right, y down, z forward. The way closes after
/// `steps`.
pose room_camera(uint64_t step, uint64_t steps);

/// A room with its own colours, for many at once. Threads: any.
class synthetic_room {
public:
  /// The one room of synthetic:room is variant 0; others differ in the colours of walls and textiles.
  static const std::vector<solid>& solids();
  /// The colour of the surface at a point that a ray hit.
  static std::array<uint8_t, 3> colour(const solid& hit, vec3 at, vec3 normal, uint32_t variant);
};

} // namespace tessera
