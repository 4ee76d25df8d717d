#pragma once

#include "messages/ids.hpp"
#include "messages/ray.hpp"

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tessera {

/// Worker threads for two kinds of work: tasks, which may run side by side, and jobs of regions, of which never two of one region
/// run at once and which keep their order within a region. Jobs come before tasks, so that what a task brings forth does not pile
/// up.
class region_pool {
public:
  using task = std::function<void()>;
  using region_function = std::function<void(region_key, std::span<const ray_job>)>;

  /// `apply` does a region's jobs: all that wait, or one at a time. Throws std::system_error if a thread cannot be started.
  region_pool(uint32_t threads, region_function apply, bool one_job_at_a_time);
  ~region_pool();
  region_pool(const region_pool&) = delete;
  region_pool& operator=(const region_pool&) = delete;

  /// Queues a task; waits while twice as many tasks wait as there are threads.
  void run(task what);
  /// Queues jobs; a task may call this.
  void add(std::vector<std::pair<region_key, ray_job>> jobs);
  /// Waits until nothing is queued or running. Throws the first thing that a task or job threw.
  void wait();
  /// Whether anything has thrown since the last wait.
  [[nodiscard]] bool failed();

private:
  struct region_queue {
    std::vector<ray_job> jobs;
    bool claimed = false; ///< in runnable_, or a worker has it
    uint32_t worker = 0;  ///< who had it last: its field may still be in that core's cache
  };

  void stop();
  void work(uint32_t worker);
  void run_region(std::unique_lock<std::mutex>& lock, uint32_t worker);
  void run_task(std::unique_lock<std::mutex>& lock);
  template <class F>
  void unlocked(std::unique_lock<std::mutex>& lock, F what);

  const region_function apply_;
  const bool one_at_a_time_;
  const size_t most_tasks_;
  std::mutex mutex_;
  std::condition_variable work_, room_, quiet_;
  std::deque<task> tasks_;
  std::unordered_map<region_key, region_queue> regions_;
  std::vector<std::deque<region_key>> runnable_; ///< by worker; a worker whose own are done takes from the others
  size_t runnable_regions_ = 0;
  size_t running_ = 0;
  bool stopping_ = false;
  std::exception_ptr failure_;
  std::vector<std::jthread> threads_; ///< last: they use all of the above
};

} // namespace tessera
