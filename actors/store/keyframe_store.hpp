#pragma once

#include "actors/base/actor_registry.hpp"
#include "actors/base/quarantine_board.hpp"
#include "messages/ids.hpp"
#include "messages/map_input.hpp"
#include "messages/ray.hpp"

#include <algorithm>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace tessera {

/// What a keyframe's rays under its pose went into, so that a field that is kept can be compared with what it should hold. The
/// stamp names the rays under that pose, for ever: another keyframe, or the same one under another pose, has another one.
struct keyframe_reach {
  uint64_t stamp = 0;              ///< random; 0: it is not known where they went
  std::vector<region_key> regions; ///< sorted
  [[nodiscard]] bool known() const { return stamp != 0; }
  friend bool operator==(const keyframe_reach&, const keyframe_reach&) = default;
};

/// A live keyframe as it is kept: everything that its part of the map can be made of again.
struct stored_keyframe {
  keyframe_id id;
  uint64_t timestamp_ns = 0, received_ns = 0;
  pose world_from_camera;
  ray_batch rays;
  /// The pose it came with, which no revision changes: what comes again under its id is the same keyframe if it has the same rays
  /// and this pose.
  pose came_with;
  std::string source, group;
  /// The number of the revision that moved it last, or its group, also before it came; nothing: there was none.
  std::optional<uint64_t> revision{};
  uint64_t admission = 0; ///< as the keyframe's; it goes with the process
  keyframe_reach reach{};
};

/// What is kept of a keyframe beside its rays: those of `frame` are null.
struct kept_keyframe {
  stored_keyframe frame;
  uint64_t rays = 0;
};

/// Where a keyframe is from now on.
struct keyframe_place {
  pose world_from_camera;
  std::optional<uint64_t> revision{};
  keyframe_reach reach{};
  friend bool operator==(const keyframe_place&, const keyframe_place&) = default;
};

/// Enters a keyframe into the largest revisions of groups.
inline void enter_revision(std::map<std::string, uint64_t>& of_groups, const std::string& group,
                           const std::optional<uint64_t>& revision) {
  if (group.empty() || !revision)
    return;
  auto& largest = of_groups[group];
  largest = std::max(largest, *revision);
}

/// A keyframe's record is damaged: it cannot be read, however often that is tried. What fails otherwise may be read later.
class damaged_keyframe : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

/// What a store holds and where.
struct store_usage {
  uint64_t keyframes = 0, rays = 0;
  uint64_t memory_bytes = 0;       ///< index, and rays, or the buffers and the cache of a journal
  uint64_t disk_bytes = 0;         ///< of its file, or of all files of a journal
  uint64_t retractions = 0;        ///< that are remembered, of keyframes that never came
  uint64_t retractions_let_go = 0; ///< for newer ones, since the start
};

/// A thread of a store: whether it has work, and gets on with it.
struct store_pulse {
  std::string who, doing; ///< in words
  pulse its;
};

/// Keeps the live keyframes, and the newest retractions of those that never came (gone_ids), asked without waiting: for the life
/// of the process (spilling_store), or for the next one, too (journal_store).
///
/// Each request is answered once, in a thread of the store, or before the call returns: answers must be short, must not throw and
/// must not wait for another request. An answer's exception is null if all is well: std::system_error when the disk fails,
/// damaged_keyframe from get(), std::bad_alloc; what was stored before is still there then, and what was being stored is not.
///
/// Order: what is asked about one id is done, and answered, in the order in which it was asked. What is asked about others may be
/// done meanwhile. So an actor that died before it heard an answer does no harm: its successor asks anew.
///
/// Threads: any.
class keyframe_store {
public:
  using done = std::function<void(bool, std::exception_ptr)>;
  using got = std::function<void(std::optional<stored_keyframe>, std::exception_ptr)>;

  virtual ~keyframe_store() = default;
  /// Adds a keyframe; false, changing nothing, if its id is there already.
  virtual void put(stored_keyframe frame, done answer) = 0;
  /// The keyframe, with its rays; nothing if it is not there.
  virtual void get(const keyframe_id& id, got answer) = 0;
  /// Forgets a keyframe; false if it is not there. That it was there is remembered.
  virtual void erase(const keyframe_id& id, done answer) = 0;
  /// Gives a keyframe another pose, and revision; false if it is not there.
  virtual void set_place(const keyframe_id& id, const keyframe_place& to, done answer) = 0;

  /// Remembers that an id was retracted before a keyframe came; false, changing nothing, if one is there, or is known to have
  /// been, or if that is remembered already, or nothing is.
  virtual void remember(const retraction& what, done answer) = 0;
  /// Forgets that again; false if it is not remembered.
  virtual void forget_retraction(const keyframe_id& id, done answer) = 0;
  /// The retraction that is remembered of an id, or is about to be; nothing if there is none. Does not wait for the disk.
  [[nodiscard]] virtual std::optional<retraction> retracted(const keyframe_id& id) const = 0;
  /// All of them, oldest first. Does not wait for the disk.
  [[nodiscard]] virtual std::vector<retraction> retractions() const = 0;

  /// Remembers that a keyframe is in quarantine, and why, in place of what is remembered of its id: quarantine_board::capacity of
  /// them, the newest. What is stored under its id stays there. In order with release(), not with what is asked about keyframes.
  virtual void quarantine(quarantined_keyframe what, done answer) = 0;
  /// Forgets that again; false if it is not remembered.
  virtual void release(const keyframe_id& id, done answer) = 0;

  /// All ids, oldest first, and then those about which something is being done or waits: whether these are there, get() tells.
  /// Does not wait for the disk.
  [[nodiscard]] virtual std::vector<keyframe_id> ids() const = 0;
  /// The keyframes of an earlier process, oldest first; once, and before anything is asked about one of them. None from a store
  /// that is for the life of a process.
  [[nodiscard]] virtual std::vector<kept_keyframe> take_kept() { return {}; }
  /// Where the cameras are of those that are there, metres, in no order: which are near to whom. Does not wait for the disk.
  [[nodiscard]] virtual std::vector<std::pair<keyframe_id, std::array<float, 3>>> cameras() const = 0;
  /// What is remembered to be in quarantine, oldest first. Does not wait for the disk.
  [[nodiscard]] virtual std::vector<quarantined_keyframe> quarantined() const = 0;
  /// Of each group the largest revision of its keyframes, where one has any. Does not wait for the disk.
  [[nodiscard]] virtual std::map<std::string, uint64_t> group_revisions() const = 0;
  /// As of a moment ago. Does not wait for the disk.
  [[nodiscard]] virtual store_usage usage() const = 0;

  /// Of its threads. Does not wait for the disk.
  [[nodiscard]] virtual std::vector<store_pulse> pulses() const { return {}; }

  /// Ends the threads when all that was asked is done, and waits for that; never from an answer. What is asked from now on is
  /// answered with an error.
  virtual void stop() = 0;
};

} // namespace tessera
