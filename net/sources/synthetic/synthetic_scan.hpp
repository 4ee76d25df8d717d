#pragma once

#include "messages/keyframe.hpp"
#include "net/sources/synthetic/synthetic_options.hpp"
#include "net/sources/synthetic/synthetic_room.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tessera {

/// A scan of a built-in scene by a pinhole camera. Keyframe `index` depends on the options and the index
/// alone.
///
/// Scenes: `room`, the room of synthetic_room.hpp; `building`, 625 such rooms over 162 x 137 m, each with its
/// own colours. The camera goes round in each of them once, one after another, and nothing is to be seen from
/// two: so the map grows by as much with every room, and a keyframe's cost can be held against the map's size.
class synthetic_scan {
public:
  /// Throws std::invalid_argument if there is no such scene or an option is out of bounds.
  synthetic_scan(std::string scene, const synthetic_options& options);
  /// Keyframes of one way through the scene, and in all (nothing: endless).
  [[nodiscard]] uint64_t per_loop() const { return per_loop_; }
  [[nodiscard]] std::optional<uint64_t> total() const;
  /// The camera of a keyframe.
  [[nodiscard]] pose camera(uint64_t index) const;
  /// A keyframe: id `room-000000` (building-...), 40 ms after the one before. Threads: any.
  [[nodiscard]] keyframe make(uint64_t index) const;
  /// Distance of a point of the world to the visible surface of the scene (room_distance).
  [[nodiscard]] float distance(float x, float y, float z) const;

private:
  struct place {
    vec3 offset; // world from the room's own coordinates
    uint32_t variant;
    uint64_t step, steps; // on the way through that room
  };
  [[nodiscard]] place place_of(uint64_t index) const;

  std::string scene_;
  synthetic_options options_;
  uint64_t per_loop_ = 200;
  bool building_ = false;
  float focal_px_ = 0;
};

} // namespace tessera
