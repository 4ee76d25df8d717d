#pragma once

#include "actors/base/log.hpp"
#include "messages/keyframe.hpp"

#include <atomic>
#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tessera {

/// A keyframe that is kept out of the map, since what worked on it died again and again.
struct quarantined_keyframe {
  keyframe_id id;
  std::string source, group;
  uint64_t timestamp_ns = 0; ///< the producer's
  std::string reason;        ///< what died over it, and of what, in words
  uint64_t time_ns = 0;      ///< since when it is out; since 1970, system clock
  uint32_t deaths = 0;
};

/// Why it is not taken, and what to do about it, in words.
std::string why_out(const quarantined_keyframe& one);

/// Which keyframes are in quarantine, for whoever asks. The map's partitioner enters them. Threads: any.
class quarantine_board {
public:
  /// More are not remembered: for a newer one the oldest goes, and would be taken again if it came again.
  static constexpr size_t capacity = 1000;
  /// Longer reasons are cut.
  static constexpr size_t max_text = 1024;

  /// Sets the log for what is entered; to be called before the first keyframe comes.
  void tell_to(log_function log) { log_ = std::move(log); }

  /// These, in the order of their times, were in quarantine when the map was begun.
  void assign(std::vector<quarantined_keyframe> those);
  /// Enters one, in place of what was known of its id, and logs it. Returns the id of one that is forgotten for it.
  std::optional<keyframe_id> enter(quarantined_keyframe one);
  /// Takes one out; false if it is not there.
  bool erase(const keyframe_id& id);

  [[nodiscard]] std::optional<quarantined_keyframe> find(const keyframe_id& id) const;
  /// Newest first.
  [[nodiscard]] std::vector<quarantined_keyframe> list() const;
  [[nodiscard]] size_t size() const { return size_.load(std::memory_order_relaxed); }
  /// How many were entered by this process.
  [[nodiscard]] uint64_t entered() const { return entered_.load(std::memory_order_relaxed); }

private:
  using entries = std::list<quarantined_keyframe>;

  void put(quarantined_keyframe one);
  void remove(entries::iterator which);

  log_function log_;
  std::atomic<size_t> size_{0}; ///< so that keyframes that come need not wait for the mutex
  std::atomic<uint64_t> entered_{0};
  mutable std::mutex mutex_;
  entries newest_;
  std::unordered_map<keyframe_id, entries::iterator> of_id_;
};

} // namespace tessera
