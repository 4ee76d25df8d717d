#pragma once

#include "messages/map.hpp"

namespace tessera {

/// A 128-bit digest of a mesh's arrays, to tell whether a surface changed without keeping it. What another program, or another
/// kind of processor, makes of a mesh may differ.
struct mesh_digest {
  uint64_t a = 0, b = 0;
  friend bool operator==(const mesh_digest&, const mesh_digest&) = default;
};

mesh_digest digest_of(const mesh& surface);

} // namespace tessera
