#pragma once

#include "messages/map_input.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

namespace tessera {

/// What is known of an id under which no keyframe is live.
enum class gone_kind : uint8_t {
  went,     ///< one was live, and went: another one may come
  retracted ///< it was retracted before any came: whoever comes stays out
};

/// How many ids a store remembers of either kind, unless it is told otherwise: some 180 bytes each.
inline constexpr size_t default_remembered = size_t{1} << 16;

/// The newest ids of which something is known though no keyframe is live under them: so that a retraction keeps out what is yet
/// to come, and one that is delivered twice does not keep out what was live and is sent anew. Of each kind so many are known; the
/// oldest go first.
class gone_ids {
public:
  struct entry {
    gone_kind kind = gone_kind::went;
    uint64_t number = 0;    ///< larger than that of all that were entered before; never 0
    uint64_t admission = 0; ///< the retraction's
  };

  explicit gone_ids(size_t most) : most_{most} {}
  gone_ids(const gone_ids&) = delete;
  gone_ids& operator=(const gone_ids&) = delete;

  /// Null if nothing is known of it.
  [[nodiscard]] const entry* find(const keyframe_id& id) const;
  [[nodiscard]] bool is(const keyframe_id& id, gone_kind kind) const;
  [[nodiscard]] size_t count(gone_kind kind) const { return order(kind).size(); }
  /// Retractions that were let go of for newer ones.
  [[nodiscard]] uint64_t let_go() const { return let_go_; }
  /// The retraction of an id; nothing if none is remembered.
  [[nodiscard]] std::optional<retraction> retracted(const keyframe_id& id) const;
  /// Those that were retracted, oldest first.
  [[nodiscard]] std::vector<retraction> retractions() const;

  /// Enters it as the newest of its kind, under that number if it is one of before (else 0), and forgets what was known of it.
  /// Returns its number, or 0 if none are remembered. Appends to `dropped` the numbers of entries that are no more: this id's old
  /// one, and those for which there is no room. Changes nothing if it throws (std::bad_alloc).
  uint64_t enter(const keyframe_id& id, gone_kind kind, uint64_t admission, std::vector<uint64_t>& dropped, uint64_t number = 0);
  /// Nothing is known of it any more.
  void erase(const keyframe_id& id) noexcept;

private:
  using by_number = std::map<uint64_t, const keyframe_id*>; ///< the ids are keys of entries_

  [[nodiscard]] const by_number& order(gone_kind kind) const { return order_[static_cast<size_t>(kind)]; }
  [[nodiscard]] by_number& order(gone_kind kind) { return order_[static_cast<size_t>(kind)]; }

  size_t most_;
  std::unordered_map<keyframe_id, entry> entries_;
  by_number order_[2];
  uint64_t numbers_ = 0, let_go_ = 0;
};

} // namespace tessera
