#pragma once
// What is known about the map and its regions.

#include "messages/ids.hpp"
#include "messages/pose.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace tessera {

/// A sum of block digests (docs/field.md): two lanes, each modulo 2^64. Adding the parts of any cut gives the whole.
struct map_hash {
  uint64_t hi = 0, lo = 0;
  friend bool operator==(const map_hash&, const map_hash&) = default;
  map_hash& operator+=(const map_hash& o) {
    hi += o.hi;
    lo += o.lo;
    return *this;
  }
};

/// Formats as 32 lower-case hex digits, hi first.
std::string to_hex(const map_hash& hash);

/// Counts of a field or a part of it; they add up.
struct field_stats {
  map_hash hash;
  uint64_t blocks = 0; ///< 8^3 blocks that are not all zero
  uint64_t voxels = 0; ///< voxels observed
  uint64_t bytes = 0;  ///< memory held by the field, apron included
  friend bool operator==(const field_stats&, const field_stats&) = default;
};

/// A region's indexed mesh, in the canonical order of docs/field.md.
struct mesh {
  /// Vertex v lies at positions[3v..3v+2], metres, world frame.
  std::vector<float> positions;
  /// Unit normals, pointing to the side the surface was seen from.
  std::vector<float> normals;
  /// sRGB, 3 bytes a vertex.
  std::vector<uint8_t> colours;
  /// For each vertex, its place: see vertex_key in gpu/shared/lattice.hpp. Equal keys in two regions are the same vertex.
  std::vector<uint64_t> keys;
  /// Three vertices a triangle, counter-clockwise seen from outside (the observed side).
  std::vector<uint32_t> indices;
  [[nodiscard]] size_t vertices() const { return keys.size(); }
  [[nodiscard]] size_t triangles() const { return indices.size() / 3; }
  friend bool operator==(const mesh&, const mesh&) = default;
};

/// A shared immutable mesh of one region.
struct region_mesh {
  region_key region;
  uint64_t version = 0;
  std::shared_ptr<const mesh> surface = std::make_shared<const mesh>();
};

/// Immutable bytes, shared without copying inside a process.
using blob = std::shared_ptr<const std::vector<std::byte>>;

/// How a viewer takes surfaces (docs/protocol.md).
struct patch_form {
  bool cells = false; ///< codec 2; else codec 1, Draco
  uint64_t base = 0;  ///< of cells: only what changed since this version, which the viewer holds; 0: all
  friend auto operator<=>(const patch_form&, const patch_form&) = default;
};

/// A patch's binary frame with cells. One that could not be made on its base has all.
struct cells_frame {
  uint64_t base = 0;
  blob bytes;
};

/// The newest state of a region's surface: as every viewer gets it, encoded once; or, until somebody wants that, what it will be.
struct patch {
  region_key region;
  /// Grows with each patch of the region within an epoch; unique in it.
  uint64_t version = 0;
  /// Producer's time of the newest keyframe in it, and when that keyframe was received (both nanoseconds).
  uint64_t keyframe_ns = 0, received_ns = 0;
  uint32_t vertices = 0, triangles = 0;
  /// The whole binary frame of docs/protocol.md: header and Draco mesh. Null: nobody wanted it yet; without triangles, that the
  /// region is to be removed.
  blob frame;
  /// The same with cells, for viewers who take those.
  std::vector<cells_frame> cells;
  /// It cannot be told by cells: all get Draco's.
  bool no_cells = false;

  /// The frame in a form; null: it was not made yet.
  [[nodiscard]] blob in(const patch_form& form) const {
    if (!form.cells || no_cells)
      return frame;
    for (const auto& one : cells)
      if (one.base == form.base)
        return one.bytes;
    return nullptr;
  }
  [[nodiscard]] bool encoded() const { return frame || !cells.empty(); }
  /// Of all frames; cells that several bases share count once for each.
  [[nodiscard]] uint64_t bytes() const {
    uint64_t sum = frame ? frame->size() : 0;
    for (const auto& one : cells)
      sum += one.bytes->size();
    return sum;
  }
};

/// A region as `GET /v1/regions` shows it.
struct region_status {
  region_key region;
  device_id device;
  uint64_t version = 0;
  field_stats field;
  uint64_t vertices = 0, triangles = 0;
  uint64_t patch_bytes = 0;
  uint64_t keyframe_ns = 0;
};

/// The map as `GET /v1/map` shows it.
struct map_status {
  std::string epoch; ///< names this run of the service; versions are comparable within it
  field_stats field;
  uint64_t keyframes = 0; ///< live ones
  uint64_t rays = 0;      ///< rays of the live keyframes
  uint64_t regions = 0;
  uint64_t vertices = 0, triangles = 0;
  /// World bounds of the live keyframes' rays' regions, metres: min xyz, max xyz; all zero if the map is empty.
  std::array<float, 6> bounds{};
  float voxel_m = 0, truncation_m = 0;
  uint32_t region_voxels = 0;
};

/// A live keyframe's camera, for the viewer's path and frustum.
struct camera {
  keyframe_id id;
  uint64_t timestamp_ns = 0;
  pose world_from_camera;
  /// True: this keyframe was retracted; take its camera away.
  bool gone = false;
};

} // namespace tessera
