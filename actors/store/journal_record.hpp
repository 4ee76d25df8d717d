#pragma once
// What stands in a journal, byte for byte: keys, and values, which are archives (messages/archive.hpp) whose first field is the
// version of the value's own layout. A newer program goes on reading older versions; when it writes newer ones, it raises
// journal_format, so that older programs let the journal be.

#include "actors/store/gone_ids.hpp"
#include "actors/store/keyframe_store.hpp"
#include "gpu/map_settings.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// Of the journal as a whole.
inline constexpr uint32_t journal_format = 5;

/// A journal's keys: a letter, and for what belongs to a keyframe its number, big-endian, so that keys are in the order of
/// arrival. Ids that are gone have numbers of their own.
namespace journal_key {

inline constexpr std::string_view format = "f", map = "m";
inline constexpr char keyframe = 'k'; ///< all but the rays, as it came
inline constexpr char place = 'p';    ///< where it is now, by which revision, and which regions have it
inline constexpr char rays = 'r';
inline constexpr char gone = 'g';        ///< an id under which no keyframe is, and why
inline constexpr char quarantined = 'q'; ///< a keyframe that is in quarantine, by its id

std::string of(char what, uint64_t number);
/// Of a keyframe that is in quarantine.
std::string of(const keyframe_id& id);
/// The number in such a key. Throws archive_error for a key that is none.
uint64_t number(std::string_view key);

} // namespace journal_key

/// What is kept of an id under which no keyframe is.
struct gone_id {
  keyframe_id id;
  gone_kind kind = gone_kind::went;
  friend bool operator==(const gone_id&, const gone_id&) = default;
};

using record_bytes = std::vector<std::byte>;

// Writing, and reading back: archive_error for what is not whole, or of a version that this program does not know.

record_bytes format_record(uint32_t format);
uint32_t read_format_record(std::span<const std::byte> bytes);

record_bytes map_record(const map_settings& map);
map_settings read_map_record(std::span<const std::byte> bytes);

record_bytes keyframe_record(const stored_keyframe& frame);
/// It is where it came, and where its rays went is not known.
kept_keyframe read_keyframe_record(std::span<const std::byte> bytes);

record_bytes place_record(const keyframe_place& place);
/// Also one of version 1, which has no revision, or 2, which has no regions. The regions of a program whose fields are others
/// than ours (field_version) are not known.
keyframe_place read_place_record(std::span<const std::byte> bytes);

record_bytes gone_record(const gone_id& gone);
gone_id read_gone_record(std::span<const std::byte> bytes);

record_bytes quarantine_record(const quarantined_keyframe& what);
quarantined_keyframe read_quarantine_record(std::span<const std::byte> bytes);

/// Writes records of rays: differences to the one before, byte plane by byte plane. Neighbours are alike, and compress (zstd) to
/// half of what they take as they lie in memory. It keeps what it works in for the next record, up to a bound, since memory that
/// comes anew from the system costs as much as the compression. Threads: one at a time.
class ray_packer {
public:
  ray_packer();
  ~ray_packer();
  /// Throws std::bad_alloc.
  record_bytes operator()(std::span<const ray> rays);

private:
  struct context;
  std::unique_ptr<context> context_;
};

/// What it wrote. Also one of version 1, which is not compressed.
std::vector<ray> read_rays_record(std::span<const std::byte> bytes);

} // namespace tessera
