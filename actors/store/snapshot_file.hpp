#pragma once
// What stands in the file of a region's snapshot, byte for byte.

#include "gpu/fields.hpp"
#include "messages/ids.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// A region's snapshot, but for its image.
struct snapshot_head {
  region_key region;
  uint64_t time_ns = 0;         ///< when it was taken, since 1970
  std::vector<uint64_t> stamps; ///< of what is in it (keyframe_reach), sorted
};

/// A whole snapshot.
struct region_snapshot {
  snapshot_head head;
  region_image image;
};
using shared_snapshot = std::shared_ptr<region_snapshot>;

/// A file that is none of a whole snapshot, or one of a program whose fields are others than ours.
class bad_snapshot : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

/// The file's name in its folder: "3_-1_0.region".
std::string snapshot_name(const region_key& region);
/// The region whose snapshot a file of that name is; nothing if it is another file's.
std::optional<region_key> region_of_snapshot(std::string_view name);

/// A whole file: head and image, each with its checksum. Blocks in which nothing is are left out; the others are stored byte
/// plane by byte plane, which zstd compresses to a fifth or so. Throws std::bad_alloc.
std::vector<std::byte> snapshot_bytes(const snapshot_head& head, const region_image& image);

/// Bytes at the beginning of a file, and how many there must be for what follows them to be known.
inline constexpr size_t snapshot_prefix = 24;
/// How long a head is, of a file that begins so. Throws bad_snapshot.
size_t snapshot_head_bytes(std::span<const std::byte> prefix);
/// The head of a file that begins so: `snapshot_prefix + snapshot_head_bytes()` bytes, or more. Throws bad_snapshot,
/// std::bad_alloc.
snapshot_head read_snapshot_head(std::span<const std::byte> file);
/// What is in a whole file. Throws bad_snapshot, std::bad_alloc.
region_snapshot read_snapshot(std::span<const std::byte> file);

} // namespace tessera
