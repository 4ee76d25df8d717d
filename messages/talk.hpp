#pragma once
// What a viewer says to its session (docs/protocol.md), parsed.

#include "messages/ids.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace tessera {

/// A region and the version of its patch that a viewer holds.
struct held_patch {
  region_key region;
  uint64_t version = 0;
  friend bool operator==(const held_patch&, const held_patch&) = default;
};

/// Asks for the stream. What it holds of the same epoch is not sent again.
struct subscribe {
  std::string epoch;
  std::vector<held_patch> have;
  uint64_t max_bits_per_s = 0; ///< 0: no limit
};

/// Says of which regions the viewer holds nothing usable any more: they are sent again, whole.
struct lost {
  std::vector<region_key> regions;
};

/// Where the viewer looks; nearer and visible regions come first.
struct view {
  std::array<float, 3> position{};
  std::array<float, 3> direction{0, 0, 1};
};

/// Says which patches arrived and are on screen.
struct ack {
  std::vector<held_patch> patches;
};

} // namespace tessera
