#pragma once

#include "net/sources/shm/shm_segment.hpp"

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace tessera {

/// A segment that is being read.
class segment_reading {
public:
  explicit segment_reading(std::shared_ptr<shm_segment> segment) : segment_(std::move(segment)), left_(segment_->pieces()) {}

  [[nodiscard]] bool done() const { return done_.load(std::memory_order_acquire); }
  /// When it is done: the segment, whole. Throws what shm_segment::read_piece() and finish() throw.
  [[nodiscard]] const std::shared_ptr<shm_segment>& result() const {
    if (failure_)
      std::rethrow_exception(failure_);
    return segment_;
  }

private:
  friend class segment_crew;
  std::shared_ptr<shm_segment> segment_;
  size_t next_ = 0; ///< piece to be begun; the crew's
  std::atomic<size_t> left_;
  std::atomic<bool> failed_ = false;
  std::exception_ptr failure_; ///< the first
  std::atomic<bool> done_ = false;
};

/// Threads of a source that read its segments beside it, piece by piece, those that it began first before others, and clear away
/// those that it is done with: what takes the system long there, to compare, unlink and free them, holds nothing else up.
///
/// Threads: any; begin(), read() and leave_all() one at a time.
class segment_crew {
public:
  /// So many segments wait to be cleared away at most, or are being; those beyond it are in the thread that brings them.
  static constexpr size_t most_to_clear = 4;

  /// `readers`: threads that read segments. With one nobody but the caller does. `on_read` is called, in any thread, when a
  /// segment is done. Throws std::system_error if there can be no thread.
  segment_crew(uint32_t readers, std::function<void()> on_read);
  /// Leaves what was not read; clears away all that was to be.
  ~segment_crew();
  segment_crew(const segment_crew&) = delete;
  segment_crew& operator=(const segment_crew&) = delete;

  /// Begins to read a segment.
  std::shared_ptr<segment_reading> begin(std::shared_ptr<shm_segment> segment);
  /// Reads a piece of what was begun. False if each has somebody who reads it.
  bool help();
  /// Reads a segment, and waits for it; throws as segment_reading::result().
  void read(const std::shared_ptr<shm_segment>& segment);
  /// Begins no further piece of all that was begun. What is not done then never will be.
  void leave_all();

  /// Has `work` done, which lets go of a segment, and must not throw.
  void clear_away(std::function<void()> work);
  /// Waits until all that was to be cleared away is.
  void clear_all();

private:
  using lock = std::unique_lock<std::mutex>;
  bool read_one(lock& held);
  void clear_one(lock& held);
  void work(const std::stop_token& stop);

  const bool reads_;
  const std::function<void()> on_read_;
  std::mutex mutex_;
  std::condition_variable_any wanted_; ///< for the threads
  std::condition_variable_any over_;   ///< for who waits for them
  std::deque<std::shared_ptr<segment_reading>> readings_;
  size_t unread_ = 0; ///< their pieces that nobody has begun
  std::deque<std::function<void()>> to_clear_;
  size_t clearing_ = 0;
  std::vector<std::jthread> threads_; ///< last: joined before the rest goes
};

} // namespace tessera
