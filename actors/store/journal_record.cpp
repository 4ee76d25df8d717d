#include "actors/store/journal_record.hpp"

#include "gpu/fields.hpp"
#include "messages/archive.hpp"

#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <new>
#include <ostream>
#include <streambuf>
#include <utility>

namespace tessera {

// Not in a namespace of their own, where the templates of archives would not be found.
struct journal_format_value {
  uint32_t version = 1, format = 0;
};

struct journal_map_value {
  uint32_t version = 1;
  map_settings map;
};

struct journal_keyframe_value {
  uint32_t version = 1;
  stored_keyframe frame;
  uint64_t rays = 0;
};

struct journal_pose_value {
  uint32_t version = 1;
  pose world_from_camera;
};

struct journal_revised_value {
  uint32_t version = 2;
  keyframe_place place;
};

struct journal_place_value {
  uint32_t version = 3;
  keyframe_place place;
  uint32_t fields = field_version;
  std::vector<uint8_t> regions;
};

struct journal_gone_value {
  uint32_t version = 1;
  gone_id gone;
};

struct journal_quarantine_value {
  uint32_t version = 1;
  quarantined_keyframe what;
};

/// The planes as they are.
struct journal_plain_rays_value {
  uint32_t version = 1;
  std::vector<uint8_t> planes;
};

template <class Bytes>
struct journal_rays_value {
  uint32_t version = 2;
  uint64_t rays = 0;
  Bytes packed; ///< the planes, by zstd
};
using packed_rays = journal_rays_value<std::span<const uint8_t>>; ///< as they are written
using read_rays = journal_rays_value<std::vector<uint8_t>>;

template <>
struct message_fields<journal_format_value> {
  static constexpr const char* name = "format";
  template <class F, class T>
  static decltype(auto) visit(F&& f, T& x) {
    return f(detail::named("version", x.version), detail::named("format", x.format));
  }
};

template <>
struct message_fields<journal_map_value> {
  static constexpr const char* name = "map";
  template <class F, class T>
  static decltype(auto) visit(F&& f, T& x) {
    return f(detail::named("version", x.version), detail::named("voxel_m", x.map.voxel_m),
             detail::named("truncation_m", x.map.truncation_m), detail::named("region_voxels", x.map.region_voxels),
             detail::named("min_range_m", x.map.min_range_m), detail::named("max_range_m", x.map.max_range_m),
             detail::named("min_confidence", x.map.min_confidence));
  }
};

template <>
struct message_fields<journal_keyframe_value> {
  static constexpr const char* name = "keyframe";
  template <class F, class T>
  static decltype(auto) visit(F&& f, T& x) {
    return f(detail::named("version", x.version), detail::named("id", x.frame.id),
             detail::named("timestamp_ns", x.frame.timestamp_ns), detail::named("received_ns", x.frame.received_ns),
             detail::named("came_with", x.frame.came_with), detail::named("source", x.frame.source),
             detail::named("group", x.frame.group), detail::named("rays", x.rays));
  }
};

template <>
struct message_fields<journal_pose_value> {
  static constexpr const char* name = "pose";
  template <class F, class T>
  static decltype(auto) visit(F&& f, T& x) {
    return f(detail::named("version", x.version), detail::named("world_from_camera", x.world_from_camera));
  }
};

template <>
struct message_fields<journal_revised_value> {
  static constexpr const char* name = "place";
  template <class F, class T>
  static decltype(auto) visit(F&& f, T& x) {
    return f(detail::named("version", x.version), detail::named("world_from_camera", x.place.world_from_camera),
             detail::wrapped<optional_ref>("revision", x.place.revision));
  }
};

template <>
struct message_fields<journal_place_value> {
  static constexpr const char* name = "place";
  template <class F, class T>
  static decltype(auto) visit(F&& f, T& x) {
    return f(detail::named("version", x.version), detail::named("world_from_camera", x.place.world_from_camera),
             detail::wrapped<optional_ref>("revision", x.place.revision), detail::named("fields", x.fields),
             detail::named("stamp", x.place.reach.stamp), detail::wrapped<bulk_ref>("regions", x.regions));
  }
};

template <>
struct message_fields<journal_gone_value> {
  static constexpr const char* name = "gone";
  template <class F, class T>
  static decltype(auto) visit(F&& f, T& x) {
    using kind_ref = enum_ref<std::remove_reference_t<decltype((x.gone.kind))>>;
    return f(detail::named("version", x.version), detail::named("id", x.gone.id),
             field<kind_ref>{"kind", kind_ref{x.gone.kind, gone_kind::retracted}});
  }
};

template <>
struct message_fields<journal_quarantine_value> {
  static constexpr const char* name = "quarantine";
  template <class F, class T>
  static decltype(auto) visit(F&& f, T& x) {
    return f(detail::named("version", x.version), detail::named("id", x.what.id), detail::named("source", x.what.source),
             detail::named("group", x.what.group), detail::named("timestamp_ns", x.what.timestamp_ns),
             detail::named("reason", x.what.reason), detail::named("time_ns", x.what.time_ns),
             detail::named("deaths", x.what.deaths));
  }
};

template <>
struct message_fields<journal_plain_rays_value> {
  static constexpr const char* name = "rays";
  template <class F, class T>
  static decltype(auto) visit(F&& f, T& x) {
    return f(detail::named("version", x.version), detail::wrapped<bulk_ref>("planes", x.planes));
  }
};

template <class Bytes>
struct message_fields<journal_rays_value<Bytes>> {
  static constexpr const char* name = "rays";
  template <class F, class T>
  static decltype(auto) visit(F&& f, T& x) {
    return f(detail::named("version", x.version), detail::named("rays", x.rays), detail::wrapped<bulk_ref>("packed", x.packed));
  }
};

namespace {

/// 0 if it is cut off.
uint32_t version_of(std::span<const std::byte> bytes) {
  constexpr size_t begin = 1, size = sizeof(uint32_t); // an archive begins with the byte of its endianness
  uint32_t version = 0;
  if (bytes.size() >= begin + size)
    std::memcpy(&version, bytes.data() + begin, size);
  return version;
}

template <class Value>
Value read(std::span<const std::byte> bytes) {
  const auto version = version_of(bytes);
  if (version != Value{}.version)
    throw archive_error(std::string{"a record ("} + message_fields<Value>::name + ") is of version " + std::to_string(version)
                        + ", and this program knows " + std::to_string(Value{}.version));
  return from_binary<Value>(bytes);
}

/// A whole number whose sign is in its lowest bit, so that small ones have zeros above, whatever their sign.
constexpr uint32_t folded(uint32_t difference) {
  return difference << 1 ^ (0 - (difference >> 31));
}
constexpr uint32_t unfolded(uint32_t number) {
  return number >> 1 ^ (0 - (number & 1));
}

void put_number(std::vector<uint8_t>& out, uint32_t number) {
  for (; number >= 0x80; number >>= 7)
    out.push_back(static_cast<uint8_t>(number | 0x80));
  out.push_back(static_cast<uint8_t>(number));
}

uint32_t take_number(std::span<const uint8_t>& bytes) {
  uint64_t out = 0;
  for (int shift = 0; shift < 35 && !bytes.empty(); shift += 7) {
    const auto byte = bytes.front();
    bytes = bytes.subspan(1);
    out |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80 && out <= UINT32_MAX)
      return static_cast<uint32_t>(out);
  }
  throw archive_error("a list of regions is cut short");
}

/// Sorted regions as differences to the one before, small numbers in one byte: three bytes a region where they lie together.
std::vector<uint8_t> packed(const std::vector<region_key>& regions) {
  std::vector<uint8_t> out;
  region_key last{};
  for (const auto& one : regions) {
    const auto put
      = [&out](int32_t is, int32_t was) { put_number(out, folded(static_cast<uint32_t>(is) - static_cast<uint32_t>(was))); };
    put(one.x, last.x);
    put(one.y, last.y);
    put(one.z, last.z);
    last = one;
  }
  return out;
}

std::vector<region_key> unpacked(std::span<const uint8_t> bytes) {
  std::vector<region_key> out;
  region_key last{};
  const auto moved
    = [&](int32_t from) { return static_cast<int32_t>(static_cast<uint32_t>(from) + unfolded(take_number(bytes))); };
  while (!bytes.empty()) {
    last.x = moved(last.x);
    last.y = moved(last.y);
    last.z = moved(last.z);
    out.push_back(last);
  }
  if (!std::is_sorted(out.begin(), out.end()))
    throw archive_error("a list of regions is not in order");
  return out;
}

constexpr size_t planes = sizeof(ray);
using plane_bytes = std::array<uint8_t, planes>;

/// More points than a keyframe may have make no more rays.
constexpr uint64_t most_rays = uint64_t{1} << 24;

/// The fastest of zstd's usual levels: what is packed is packed while a keyframe waits for its answer. Shorter matches than
/// these are not looked for: they make the record of rays 0.2 % smaller, and packing a tenth slower.
constexpr int packing_level = 1, shortest_match = 7;
/// Of a record of rays: what stands before its planes.
constexpr size_t beside_the_rays = 64;
/// A packer keeps room for records of so many bytes, which is 262,144 rays.
constexpr size_t most_bytes_kept = size_t{4} << 20;

/// Where an archive is written to that is large: it has its room at once, and is copied once.
class growing_buffer final : public std::streambuf {
public:
  explicit growing_buffer(size_t room) { bytes_.reserve(room); }
  record_bytes take() && { return std::move(bytes_); }

protected:
  std::streamsize xsputn(const char* from, std::streamsize count) override {
    const auto bytes = std::as_bytes(std::span{from, static_cast<size_t>(count)});
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return count;
  }
  int_type overflow(int_type c) override {
    if (!traits_type::eq_int_type(c, traits_type::eof()))
      bytes_.push_back(static_cast<std::byte>(c));
    return traits_type::not_eof(c);
  }

private:
  record_bytes bytes_;
};

/// As to_binary().
template <class Value>
record_bytes archived(const Value& value, size_t room) {
  growing_buffer buffer{room};
  std::ostream out{&buffer};
  {
    cereal::PortableBinaryOutputArchive ar{out, cereal::PortableBinaryOutputArchive::Options::LittleEndian()};
    ar(value);
  }
  return std::move(buffer).take();
}

/// Rays as differences to the one before, byte plane by byte plane, by a few at a time, so that whole vectors are written.
void split(std::span<const ray> rays, uint8_t* out) {
  constexpr size_t at_once = 64;
  std::array<std::array<uint32_t, at_once>, planes / sizeof(uint32_t)> words;
  ray last{};
  for (size_t begin = 0; begin < rays.size(); begin += at_once) {
    const auto count = std::min(at_once, rays.size() - begin);
    for (size_t i = 0; i < count; ++i) {
      const auto& r = rays[begin + i];
      const auto difference
        = [](int32_t a, int32_t b) { return static_cast<int32_t>(folded(static_cast<uint32_t>(a) - static_cast<uint32_t>(b))); };
      const auto its = std::bit_cast<std::array<uint32_t, planes / sizeof(uint32_t)>>(
        ray{difference(r.x, last.x), difference(r.y, last.y), difference(r.z, last.z), static_cast<uint8_t>(r.r - last.r),
            static_cast<uint8_t>(r.g - last.g), static_cast<uint8_t>(r.b - last.b), r.points});
      for (size_t word = 0; word < its.size(); ++word)
        words[word][i] = its[word];
      last = r;
    }
    for (size_t plane = 0; plane < planes; ++plane) {
      const auto& from = words[plane / sizeof(uint32_t)];
      const auto shift = 8 * (plane % sizeof(uint32_t));
      auto* const to = out + plane * rays.size() + begin;
      for (size_t i = 0; i < count; ++i)
        to[i] = static_cast<uint8_t>(from[i] >> shift);
    }
  }
}

size_t checked(size_t result) {
  if (!ZSTD_isError(result))
    return result;
  if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation)
    throw std::bad_alloc{};
  throw archive_error(std::string{"rays cannot be packed or unpacked: "} + ZSTD_getErrorName(result));
}

std::vector<uint8_t> unpacked_planes(const read_rays& value) {
  if (value.rays > most_rays || ZSTD_getFrameContentSize(value.packed.data(), value.packed.size()) != value.rays * planes)
    throw archive_error("rays are not as many as their record says");
  std::vector<uint8_t> out(value.rays * planes);
  if (checked(ZSTD_decompress(out.data(), out.size(), value.packed.data(), value.packed.size())) != out.size())
    throw archive_error("rays are cut short");
  return out;
}

} // namespace

namespace journal_key {

std::string of(char what, uint64_t number) {
  std::string key(1 + sizeof number, what);
  for (size_t i = 0; i < sizeof number; ++i)
    key[1 + i] = static_cast<char>(number >> (56 - 8 * i));
  return key;
}

std::string of(const keyframe_id& id) {
  std::string key(1, quarantined);
  key += static_cast<char>(id.session.size()); // at most keyframe_id::max_session_bytes
  return key + id.session + id.value;
}

uint64_t number(std::string_view key) {
  if (key.size() != 1 + sizeof(uint64_t))
    throw archive_error("a journal's key has " + std::to_string(key.size()) + " bytes, not 9");
  uint64_t out = 0;
  for (const auto c : key.substr(1))
    out = out << 8 | static_cast<uint8_t>(c);
  return out;
}

} // namespace journal_key

record_bytes format_record(uint32_t format) {
  return to_binary(journal_format_value{.format = format});
}

uint32_t read_format_record(std::span<const std::byte> bytes) {
  return read<journal_format_value>(bytes).format;
}

record_bytes map_record(const map_settings& map) {
  return to_binary(journal_map_value{.map = map});
}

map_settings read_map_record(std::span<const std::byte> bytes) {
  return read<journal_map_value>(bytes).map;
}

record_bytes keyframe_record(const stored_keyframe& frame) {
  journal_keyframe_value value;
  value.frame = frame;
  value.rays = frame.rays.rays->size();
  return to_binary(value);
}

kept_keyframe read_keyframe_record(std::span<const std::byte> bytes) {
  auto value = read<journal_keyframe_value>(bytes);
  value.frame.world_from_camera = value.frame.came_with;
  value.frame.rays.rays.reset();
  return {std::move(value.frame), value.rays};
}

record_bytes place_record(const keyframe_place& place) {
  return to_binary(journal_place_value{.place = place, .regions = packed(place.reach.regions)});
}

keyframe_place read_place_record(std::span<const std::byte> bytes) {
  if (version_of(bytes) == journal_pose_value{}.version)
    return {read<journal_pose_value>(bytes).world_from_camera, {}};
  if (version_of(bytes) == journal_revised_value{}.version)
    return read<journal_revised_value>(bytes).place;
  auto value = read<journal_place_value>(bytes);
  value.place.reach.regions = unpacked(value.regions);
  if (value.fields != field_version)
    value.place.reach = {};
  return std::move(value.place);
}

record_bytes gone_record(const gone_id& gone) {
  return to_binary(journal_gone_value{.gone = gone});
}

gone_id read_gone_record(std::span<const std::byte> bytes) {
  return read<journal_gone_value>(bytes).gone;
}

record_bytes quarantine_record(const quarantined_keyframe& what) {
  return to_binary(journal_quarantine_value{.what = what});
}

quarantined_keyframe read_quarantine_record(std::span<const std::byte> bytes) {
  return read<journal_quarantine_value>(bytes).what;
}

struct ray_packer::context {
  std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> zstd{ZSTD_createCCtx(), ZSTD_freeCCtx};
  std::vector<uint8_t> planes, packed;
};

ray_packer::ray_packer() : context_{std::make_unique<context>()} {
  if (!context_->zstd)
    throw std::bad_alloc{};
  checked(ZSTD_CCtx_setParameter(context_->zstd.get(), ZSTD_c_compressionLevel, packing_level));
  checked(ZSTD_CCtx_setParameter(context_->zstd.get(), ZSTD_c_minMatch, shortest_match));
}

ray_packer::~ray_packer() = default;

record_bytes ray_packer::operator()(std::span<const ray> rays) {
  auto& [zstd, all, packed] = *context_;
  const auto bytes = rays.size() * planes;
  if (all.size() < bytes) // what is too much is overwritten, so that no byte is written twice
    all.resize(bytes);
  if (packed.size() < ZSTD_compressBound(bytes))
    packed.resize(ZSTD_compressBound(bytes));
  split(rays, all.data());
  const auto size = checked(ZSTD_compress2(zstd.get(), packed.data(), packed.size(), all.data(), bytes));
  auto out = archived(packed_rays{.rays = rays.size(), .packed = std::span{packed}.first(size)}, size + beside_the_rays);
  if (bytes > most_bytes_kept) {
    all = {};
    packed = {};
  }
  return out;
}

std::vector<ray> read_rays_record(std::span<const std::byte> bytes) {
  const auto all = version_of(bytes) == journal_plain_rays_value{}.version ? read<journal_plain_rays_value>(bytes).planes
                                                                           : unpacked_planes(read<read_rays>(bytes));
  if (all.size() % planes != 0)
    throw archive_error("rays are cut short");
  std::vector<ray> out(all.size() / planes);
  ray last{};
  for (size_t i = 0; i < out.size(); ++i) {
    plane_bytes its;
    for (size_t plane = 0; plane < planes; ++plane)
      its[plane] = all[plane * out.size() + i];
    const auto difference = std::bit_cast<ray>(its);
    const auto sum
      = [](int32_t a, int32_t b) { return static_cast<int32_t>(static_cast<uint32_t>(a) + unfolded(static_cast<uint32_t>(b))); };
    last = {sum(last.x, difference.x),
            sum(last.y, difference.y),
            sum(last.z, difference.z),
            static_cast<uint8_t>(last.r + difference.r),
            static_cast<uint8_t>(last.g + difference.g),
            static_cast<uint8_t>(last.b + difference.b),
            difference.points};
    out[i] = last;
  }
  return out;
}

} // namespace tessera
