#include "actors/store/snapshot_file.hpp"

#include "gpu/shared/lattice.hpp"
#include "messages/archive.hpp"
#include "messages/xxh3.hpp"

#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <utility>

namespace tessera {

// Not in a namespace of its own, where the templates of archives would not be found.
struct snapshot_head_value {
  uint32_t version = 1, fields = field_version;
  int32_t x = 0, y = 0, z = 0;
  uint64_t time_ns = 0;
  std::vector<uint64_t> stamps;
  std::vector<uint32_t> blocks;    ///< of the image
  uint64_t packed = 0, digest = 0; ///< bytes that follow the head, and their checksum
};

template <>
struct message_fields<snapshot_head_value> {
  static constexpr const char* name = "snapshot";
  template <class F, class T>
  static decltype(auto) visit(F&& f, T& x) {
    return f(detail::named("version", x.version), detail::named("fields", x.fields), detail::named("x", x.x),
             detail::named("y", x.y), detail::named("z", x.z), detail::named("time_ns", x.time_ns),
             detail::wrapped<bulk_ref>("stamps", x.stamps), detail::wrapped<bulk_ref>("blocks", x.blocks),
             detail::named("packed", x.packed), detail::named("digest", x.digest));
  }
};

namespace {

constexpr std::array<char, 8> magic{'T', 'S', 'R', 'E', 'G', 'I', 'O', 'N'};
constexpr size_t most_head = size_t{1} << 28;
constexpr size_t block_voxels = lattice::block_voxels;
constexpr size_t voxel_bytes = sizeof(voxel_words);
using plane_bytes = std::array<std::byte, voxel_bytes>;

/// What a file begins with.
struct prefix {
  std::array<char, 8> magic;
  uint64_t head_bytes, head_digest;
};
static_assert(sizeof(prefix) == snapshot_prefix);

uint64_t digest_of(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

bool is_zero(const voxel_words& v) {
  return (v.w0 | v.w1 | v.w2) == 0;
}

prefix prefix_of(std::span<const std::byte> file) {
  prefix out{};
  if (file.size() < sizeof out)
    throw bad_snapshot("it is cut short");
  std::memcpy(&out, file.data(), sizeof out);
  if (out.magic != magic || out.head_bytes > most_head)
    throw bad_snapshot("it does not begin as a snapshot does");
  return out;
}

snapshot_head_value value_of(std::span<const std::byte> file) {
  const auto begin = prefix_of(file);
  if (file.size() - snapshot_prefix < begin.head_bytes)
    throw bad_snapshot("it is cut short");
  const auto head = file.subspan(snapshot_prefix, static_cast<size_t>(begin.head_bytes));
  if (digest_of(head) != begin.head_digest)
    throw bad_snapshot("its head is not what was written");
  snapshot_head_value out;
  try {
    out = from_binary<snapshot_head_value>(head);
  } catch (const archive_error& e) {
    throw bad_snapshot(e.what());
  }
  if (out.version != snapshot_head_value{}.version || out.fields != field_version)
    throw bad_snapshot("it is of version " + std::to_string(out.version) + " with fields " + std::to_string(out.fields)
                       + ", and this program knows " + std::to_string(snapshot_head_value{}.version) + " with fields "
                       + std::to_string(field_version));
  return out;
}

snapshot_head head_of(snapshot_head_value value) {
  return {{value.x, value.y, value.z}, value.time_ns, std::move(value.stamps)};
}

size_t checked(size_t result) {
  if (!ZSTD_isError(result))
    return result;
  if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation)
    throw std::bad_alloc{};
  throw bad_snapshot(std::string{"it cannot be unpacked: "} + ZSTD_getErrorName(result));
}

/// The blocks in which something is.
region_image without_empty_blocks(const region_image& image) {
  region_image out;
  for (size_t i = 0; i < image.blocks.size(); ++i) {
    const auto first = image.voxels.begin() + static_cast<std::ptrdiff_t>(i * block_voxels), last = first + block_voxels;
    if (std::all_of(first, last, is_zero))
      continue;
    out.blocks.push_back(image.blocks[i]);
    out.voxels.insert(out.voxels.end(), first, last);
  }
  return out;
}

} // namespace

std::string snapshot_name(const region_key& region) {
  return std::to_string(region.x) + '_' + std::to_string(region.y) + '_' + std::to_string(region.z) + ".region";
}

std::optional<region_key> region_of_snapshot(std::string_view name) {
  std::array<int32_t, 3> key{};
  const auto *at = name.data(), *const end = at + name.size();
  for (auto& number : key) {
    const auto [after, failed] = std::from_chars(at, end, number);
    if (failed != std::errc{})
      return {};
    at = after == end ? end : after + 1; // what stands between them is compared below
  }
  const region_key region{key[0], key[1], key[2]};
  return snapshot_name(region) == name ? std::optional{region} : std::nullopt;
}

std::vector<std::byte> snapshot_bytes(const snapshot_head& head, const region_image& image) {
  auto full = without_empty_blocks(image);
  const auto count = full.voxels.size();
  std::vector<std::byte> planes(count * voxel_bytes);
  for (size_t i = 0; i < count; ++i) {
    const auto bytes = std::bit_cast<plane_bytes>(full.voxels[i]);
    for (size_t plane = 0; plane < voxel_bytes; ++plane)
      planes[plane * count + i] = bytes[plane];
  }
  std::vector<std::byte> packed(ZSTD_compressBound(planes.size()));
  packed.resize(checked(ZSTD_compress(packed.data(), packed.size(), planes.data(), planes.size(), 1)));
  snapshot_head_value value;
  value.x = head.region.x;
  value.y = head.region.y;
  value.z = head.region.z;
  value.time_ns = head.time_ns;
  value.stamps = head.stamps;
  value.blocks = std::move(full.blocks);
  value.packed = packed.size();
  value.digest = digest_of(packed);
  const auto its = to_binary(value);
  const prefix begin{magic, its.size(), digest_of(its)};
  std::vector<std::byte> out(sizeof begin + its.size() + packed.size());
  std::memcpy(out.data(), &begin, sizeof begin);
  std::copy(packed.begin(), packed.end(), std::copy(its.begin(), its.end(), out.begin() + sizeof begin));
  return out;
}

size_t snapshot_head_bytes(std::span<const std::byte> prefix) {
  return static_cast<size_t>(prefix_of(prefix).head_bytes);
}

snapshot_head read_snapshot_head(std::span<const std::byte> file) {
  return head_of(value_of(file));
}

region_snapshot read_snapshot(std::span<const std::byte> file) {
  auto value = value_of(file);
  const auto packed = file.subspan(snapshot_prefix + snapshot_head_bytes(file));
  if (packed.size() != value.packed || digest_of(packed) != value.digest)
    throw bad_snapshot("its image is not what was written");
  const auto count = value.blocks.size() * block_voxels;
  std::vector<std::byte> planes(count * voxel_bytes);
  if (checked(ZSTD_decompress(planes.data(), planes.size(), packed.data(), packed.size())) != planes.size())
    throw bad_snapshot("its image has not as many voxels as it says");
  region_snapshot out;
  out.image.blocks = std::move(value.blocks);
  out.image.voxels.resize(count);
  plane_bytes bytes{};
  for (size_t i = 0; i < count; ++i) {
    for (size_t plane = 0; plane < voxel_bytes; ++plane)
      bytes[plane] = planes[plane * count + i];
    out.image.voxels[i] = std::bit_cast<voxel_words>(bytes);
  }
  out.head = head_of(std::move(value));
  return out;
}

} // namespace tessera
