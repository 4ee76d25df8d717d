#pragma once

#include "actors/store/journal.hpp"
#include "actors/store/keyframe_store.hpp"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>

namespace tessera {

/// Keeps the live keyframes in a journal: a change is answered when the disk has it.
///
/// One thread writes: it takes everything that waits and writes it together, so that a disk that takes 10 ms to be sure costs
/// each keyframe little. Another one reads. What is asked about one id waits in a line of its own, whose first stands in the line
/// of one of the threads. Put is answered with an error when the disk is full or fails; what takes away or moves is tried until
/// it is done, or the store ends: it has been done to the map already, and must not come undone at the next start.
class journal_store final : public keyframe_store {
public:
  /// Throws journal_error if the journal's keyframes cannot be read, std::system_error if a thread cannot be started.
  explicit journal_store(std::shared_ptr<journal> in);
  /// As stop().
  ~journal_store() override;

  void put(stored_keyframe frame, done answer) override;
  void get(const keyframe_id& id, got answer) override;
  void erase(const keyframe_id& id, done answer) override;
  void set_pose(const keyframe_id& id, const pose& world_from_camera, done answer) override;
  [[nodiscard]] std::vector<keyframe_id> ids() const override;
  [[nodiscard]] store_usage usage() const override;
  void stop() override;

private:
  using locked = std::unique_lock<std::mutex>;

  enum class kind { put, get, erase, move };
  struct task {
    kind what;
    keyframe_id id;
    stored_keyframe frame{}; ///< of a put
    pose to{};               ///< of a move
    done changed{};
    got found{};
    uint64_t number = 0; ///< of what is being written
  };
  using task_ptr = std::shared_ptr<task>;

  struct entry {
    uint64_t number = 0, rays = 0;
  };

  void ask(task_ptr t);
  /// With the lock: gives a task to the thread that does it.
  void hand(const task_ptr& t);
  /// With the lock: the first of its line was answered, and the next has its turn.
  void next(const keyframe_id& id);
  void answer(const task_ptr& t, bool did, std::exception_ptr failure);

  void write_all();
  /// Writes what came together, and answers. Returns what could not be written and must be.
  std::vector<task_ptr> commit(const std::vector<task_ptr>& group);
  void count(const task& t);
  void read_all();
  void tidy();

  const std::shared_ptr<journal> journal_;

  mutable std::mutex mutex_; ///< of all that follows; nobody has it who waits for the disk
  std::condition_variable to_write_, to_read_, to_tidy_;
  std::unordered_map<keyframe_id, std::deque<task_ptr>> lines_; ///< what waits, or is being done
  std::vector<task_ptr> changes_;                               ///< first of their lines
  std::deque<task_ptr> reads_;                                  ///< likewise
  bool stopped_ = false;
  std::unordered_map<keyframe_id, entry> index_;
  std::map<uint64_t, keyframe_id> by_number_;
  uint64_t numbers_ = 0, rays_ = 0;
  uint64_t erased_rays_ = 0;                              ///< that may still take space on the disk
  std::atomic<uint64_t> memory_bytes_{0}, disk_bytes_{0}; ///< of the journal, as of a moment ago
  std::atomic<bool> stop_tidying_{false};
  std::jthread writer_, reader_, tidier_;
};

} // namespace tessera
