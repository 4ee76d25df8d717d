#pragma once

#include "actors/base/log.hpp"
#include "actors/base/log_limit.hpp"
#include "actors/store/snapshot_file.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace tessera {

/// How snapshots are kept.
struct snapshot_options {
  uint64_t most_bytes = 0; ///< on the disk, of all together
  uint32_t rest = 0;       ///< so many times as long as something took to be written, nothing more is
  /// Whether the disk has so many bytes that nothing else may need. May throw: then it has not. Empty: it has. Threads: any.
  std::function<bool(uint64_t)> has_room{};
  bool own_thread = true; ///< else all is done, and answered, in the thread that asks
};

/// What is kept of snapshots.
struct snapshot_usage {
  uint64_t regions = 0, bytes = 0;         ///< on the disk
  uint64_t oldest_ns = 0;                  ///< when the oldest was taken, since 1970; 0: there is none
  uint64_t written = 0, written_bytes = 0; ///< since the start
  uint64_t damaged = 0, failed = 0;        ///< files that could not be used; that could not be written
};

/// Fields of regions as they once were, each a file of a folder, so that the next start need not make them of all keyframes'
/// rays. They are a copy of what the rays say: one that is lost, or damaged, costs time and nothing else. So they are written
/// without a sync, and go first when the disk is short of room. docs/journal.md, "Snapshots".
///
/// Threads: any.
class region_snapshots {
public:
  /// Makes the folder if it is not there, and looks which files are in it. Throws std::system_error if the folder cannot be made
  /// or read, or a thread cannot be started.
  region_snapshots(std::string folder, snapshot_options how, log_function log = {});
  /// As stop().
  ~region_snapshots();
  region_snapshots(const region_snapshots&) = delete;
  region_snapshots& operator=(const region_snapshots&) = delete;

  /// The regions whose snapshots were there at the start; once. What is in them, and whether it is one at all, read() tells.
  [[nodiscard]] std::vector<region_key> take_kept();

  using got = std::function<void(shared_snapshot)>;
  /// Reads a region's snapshot, before all that is to be written. The answer, in the thread of this object, is null if there is
  /// none that can be used: then the log says why, and what is damaged is removed. Must be short, and not throw.
  void read(const region_key& region, got answer);

  /// Whether more may be written now: nothing waits, and the bounds allow it.
  [[nodiscard]] bool ready() const;
  /// Keeps a region's field, in place of the snapshot that it has. `stamps`: sorted, of what is in it. What cannot be written is
  /// told by take_failed().
  void write(const region_key& region, std::vector<uint64_t> stamps, region_image image);
  /// The region's snapshot is of no use any more.
  void erase(const region_key& region);
  /// Whether the region has a snapshot that holds just that. `stamps`: sorted.
  [[nodiscard]] bool holds(const region_key& region, const std::vector<uint64_t>& stamps) const;
  /// Takes out the regions whose fields could not be written.
  [[nodiscard]] std::vector<region_key> take_failed();

  /// Removes the oldest snapshot, and writes none for a while: something else needs the room. False if there is none.
  bool make_room();
  /// How long nothing is written after something else needed the room, or the disk failed.
  static constexpr std::chrono::minutes pause{1};

  [[nodiscard]] snapshot_usage usage() const;
  /// Whether nothing waits to be done, or to be told by take_failed().
  [[nodiscard]] bool idle() const;

  /// Ends the thread; what waits to be written is not, and what waits to be read is answered with null.
  void stop();

private:
  using clock = std::chrono::steady_clock;
  using locked = std::unique_lock<std::mutex>;
  struct entry {
    std::optional<uint64_t> stamps{}; ///< their digest; nothing: it was not read yet
    uint64_t bytes = 0, time_ns = 0;
  };
  struct read_task {
    region_key region;
    got answer;
  };
  struct write_task {
    snapshot_head head;
    region_image image;
  };

  /// Finds what is in the folder.
  void look();
  /// Something waits: has the thread do it, or does it.
  void go_on();
  void work_all();
  /// Does the next thing that waits; false if there is none. With the lock, which it lets go of meanwhile.
  bool work(locked& lock);
  void do_read(const read_task& t) noexcept;
  void do_write(const write_task& t) noexcept;
  void remove(const region_key& region) noexcept;
  /// With the lock: puts a file in place of the region's entry, or takes that out.
  void enter(const region_key& region, const std::optional<entry>& its);
  /// Says that a file is none of a snapshot that can be used.
  void tell_useless(const std::string& path, const char* why) noexcept;
  [[nodiscard]] std::string path_of(const region_key& region) const { return folder_ + '/' + snapshot_name(region); }

  const std::string folder_;
  const snapshot_options how_;
  const log_function log_;

  std::mutex files_;         ///< held while files are renamed and removed; taken before the other
  mutable std::mutex mutex_; ///< of all that follows; nobody has it who waits for the disk
  std::condition_variable changed_;
  std::deque<read_task> reads_;
  std::deque<write_task> writes_;
  std::deque<region_key> erases_;
  bool busy_ = false, stopped_ = false;
  std::optional<region_key> writing_; ///< unless it was erased meanwhile
  clock::time_point not_before_{};    ///< when something may be written again
  std::unordered_map<region_key, entry> index_;
  std::vector<region_key> kept_;
  std::vector<region_key> failed_;
  snapshot_usage numbers_;
  log_limit failures_{std::chrono::minutes{1}};
  std::jthread thread_;
};

} // namespace tessera
