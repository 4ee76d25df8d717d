#pragma once
// Threads that copy together.

#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace tessera::bench {

/// Threads that wait for work, as a service would have them.
class helpers {
public:
  /// Together with the caller's.
  explicit helpers(unsigned threads) {
    for (unsigned i = 1; i < threads; ++i)
      threads_.emplace_back([this, i] { serve(i); });
  }
  ~helpers() {
    work_ = nullptr;
    begin();
    for (auto& thread : threads_)
      thread.join();
  }
  helpers(const helpers&) = delete;
  helpers& operator=(const helpers&) = delete;

  [[nodiscard]] size_t threads() const { return threads_.size() + 1; }
  /// Calls work(0) here, and work(1), ... elsewhere, at the same time. Returns when all have. Throws what the last one threw.
  void run(std::function<void(size_t)> work) {
    work_ = std::move(work);
    left_ = static_cast<int>(threads_.size());
    begin();
    do_part(0);
    while (left_ != 0) {
    }
    const std::scoped_lock lock(mutex_);
    if (const auto failure = std::exchange(failure_, nullptr))
      std::rethrow_exception(failure);
  }

private:
  void begin() {
    ++round_;
    round_.notify_all();
  }
  void do_part(size_t number) {
    try {
      work_(number);
    } catch (...) {
      const std::scoped_lock lock(mutex_);
      failure_ = std::current_exception();
    }
  }
  void serve(size_t number) {
    for (int seen = 0;;) {
      round_.wait(seen);
      ++seen; // nobody begins a round before all have done the last one
      if (!work_)
        return;
      do_part(number);
      --left_;
    }
  }
  std::function<void(size_t)> work_;
  std::atomic<int> round_{0}, left_{0};
  std::mutex mutex_;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

} // namespace tessera::bench
