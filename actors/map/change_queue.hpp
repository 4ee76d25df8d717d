#pragma once

#include "actors/base/quarantine_board.hpp"
#include "messages/map_input.hpp"

#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

namespace tessera {

struct batch;

/// Why a keyframe is taken out that something died over, or for which there is no room.
struct suspicion {
  uint64_t serial = 0; ///< of its insertion
  uint32_t deaths = 0;
  std::optional<region_key> tried_in{};           ///< the region whose mesher it is tried with, if it is not known to be deadly
  std::optional<quarantined_keyframe> sentence{}; ///< once that is known
  std::optional<std::string> no_place{};          ///< why there is none for it in the map: nothing died over it
};

/// A keyframe that comes, moves or goes.
struct change {
  map_input what;                       ///< of a keyframe that comes the body only until it is taken
  uint64_t number;                      ///< order of arrival, among changes and batches
  std::shared_ptr<batch> part_of{};     ///< nobody is told of it alone
  std::string of_group{};               ///< it is a revision because the keyframe is of that group; its pose is the transform
  std::optional<uint64_t> born{};       ///< the revision of its group when it came, of a keyframe that comes
  bool forgets = false;                 ///< nobody asked for it: the keyframe is beyond what is kept
  std::optional<suspicion> suspected{}; ///< nobody asked for it: the map cannot have the keyframe
  uint32_t losses = 0;                  ///< devices that failed as they compared it
  bool made_room = false;               ///< what held nothing was given back for it
  bool started = false;

  [[nodiscard]] const keyframe_id& id() const { return id_of(what); }
  /// Of a retraction: whether it is remembered if no keyframe of its id ever came, since somebody asked for just that.
  [[nodiscard]] bool remembers() const { return !part_of && !forgets; }
  [[nodiscard]] keyframe& frame() { return std::get<keyframe>(what); } ///< that comes
};
using change_ptr = std::shared_ptr<change>;

/// The changes under way. Those of one id are done one after another, those of different ids side by side.
class change_queue {
public:
  /// Of changes and batches that came.
  [[nodiscard]] uint64_t numbered() const { return numbers_; }
  uint64_t next_number() { return ++numbers_; }
  /// A batch of that number has come; it is done.
  void open(uint64_t number) { open_.insert(number); }
  void close(uint64_t number) { open_.erase(number); }
  change_ptr make(map_input what);

  /// Queues it ahead of those of its id that are numbered higher than `ahead_of`. One that is part of a batch may be numbered as
  /// another is. Returns whether nothing else of its id is under
  /// way, so that it is its turn.
  bool add(const change_ptr& c, uint64_t ahead_of = ~uint64_t{0});
  /// The first of its id is done. Returns the next of that id, whose turn it is; null if there is none.
  change_ptr finish(const change& c);

  /// The first of that id; null if there is none.
  [[nodiscard]] change_ptr first(const keyframe_id& id) const;
  /// The second of that id; null if there is none.
  [[nodiscard]] change_ptr second(const keyframe_id& id) const;
  /// Of each id the first, in the order in which they came.
  [[nodiscard]] std::vector<change_ptr> firsts() const;
  /// The ids of keyframes that match, and come by a change before that number; and of retractions that match, come before it, and
  /// may find no keyframe.
  [[nodiscard]] std::vector<keyframe_id> coming(const keyframe_selection& which, uint64_t before) const;
  /// Whether all changes up to that number are done.
  [[nodiscard]] bool done(uint64_t number) const { return open_.empty() || *open_.begin() > number; }
  [[nodiscard]] size_t size() const { return open_.size(); }
  void clear() { *this = {}; }

private:
  std::unordered_map<keyframe_id, std::deque<change_ptr>> of_id_;
  std::set<uint64_t> open_; ///< their numbers
  uint64_t numbers_ = 0;
};

} // namespace tessera
