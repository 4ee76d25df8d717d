#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace tessera {

/// Makes items ahead in threads of its own and hands them out in order.
///
/// `draw` gives the next job, or nothing at the end; it is called by one thread at a time. `make` turns a job
/// into an item; it is called by many threads at once. What `make` throws comes out of `next` in that item's
/// place. At most two items a thread wait.
template <class Job, class Item>
class ordered_prefetch {
public:
  ordered_prefetch(uint32_t threads, std::function<std::optional<Job>()> draw, std::function<Item(const Job&)> make)
    : draw_(std::move(draw)), make_(std::move(make)), most_ahead_(2 * uint64_t{threads}) {
    for (uint32_t i = 0; i < threads; ++i)
      workers_.emplace_back([this](std::stop_token stop) { work(stop); });
  }

  /// The next item in order, or nothing at the end. Waits for it; makes it itself if there are no threads.
  std::optional<Item> next() {
    if (workers_.empty()) {
      auto job = draw_();
      return job ? std::optional<Item>(make_(*job)) : std::nullopt;
    }
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return made_.contains(handed_) || (ended_ && handed_ == drawn_) || draw_error_; });
    auto found = made_.find(handed_);
    if (found == made_.end()) {
      if (draw_error_)
        std::rethrow_exception(draw_error_);
      return std::nullopt;
    }
    auto result = std::move(found->second);
    made_.erase(found);
    ++handed_;
    changed_.notify_all();
    lock.unlock();
    if (result.error)
      std::rethrow_exception(result.error);
    return std::move(result.item);
  }

private:
  struct outcome {
    std::optional<Item> item;
    std::exception_ptr error;
  };

  void work(std::stop_token stop) {
    for (;;) {
      std::unique_lock lock(mutex_);
      if (!changed_.wait(lock, stop, [&] { return ended_ || drawn_ < handed_ + most_ahead_; }) || ended_)
        return;
      std::optional<Job> job;
      try {
        job = draw_();
      } catch (...) {
        draw_error_ = std::current_exception();
      }
      if (!job) {
        ended_ = true;
        changed_.notify_all();
        return;
      }
      uint64_t place = drawn_++;
      lock.unlock();
      outcome result;
      try {
        result.item = make_(*job);
      } catch (...) {
        result.error = std::current_exception();
      }
      lock.lock();
      made_.emplace(place, std::move(result));
      changed_.notify_all();
    }
  }

  std::function<std::optional<Job>()> draw_;
  std::function<Item(const Job&)> make_;
  uint64_t most_ahead_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  uint64_t drawn_ = 0, handed_ = 0;
  bool ended_ = false;
  std::exception_ptr draw_error_;
  std::map<uint64_t, outcome> made_;
  std::vector<std::jthread> workers_; // last: joined before the rest goes
};

} // namespace tessera
