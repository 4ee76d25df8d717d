#pragma once

#include "messages/ids.hpp"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

namespace tessera::cpu {

/// Threads for two kinds of work: tasks, which may run side by side, and jobs of regions, of which never two of one region run at
/// once and which keep their order within a region. Jobs come before tasks, so that what a task brings forth does not pile up.
/// Jobs that may wait come when there is no other work, or when they have waited for a while.
///
/// Without threads of its own whoever gives it work does it, one such thread at a time, before the call returns. Work that a task
/// or job gives then is done next, by the call that is under way.
class region_pool {
  struct region_queue;
  using clock = std::chrono::steady_clock;

public:
  /// A task or a job. It is the caller's, and must last until it is run or let go; in there it may end itself.
  class work {
  public:
    explicit work(region_key of = {}) : region(of) {}
    virtual void run() noexcept = 0;
    /// The pool goes, and will not run it.
    virtual void let_go() noexcept = 0;

    region_key region;    ///< of a job
    work* next = nullptr; ///< in a chain that is added as one; the pool's while it has it

  protected:
    ~work() = default;

  private:
    friend region_pool;
    std::shared_ptr<region_queue> queue_; ///< of the region, once known
    clock::time_point due_{};             ///< of a job that may wait: until then
  };

  /// Throws std::system_error if a thread cannot be started.
  explicit region_pool(uint32_t threads);
  /// Waits for what is being run, and lets go what waits.
  ~region_pool();
  region_pool(const region_pool&) = delete;
  region_pool& operator=(const region_pool&) = delete;

  /// Queues a task.
  void run(work& task) noexcept;
  /// Queues a chain of jobs. Throws std::bad_alloc, and then has none of them; never for jobs that it had before.
  void add(work* jobs);
  /// Queues a job that may wait so long. Throws std::bad_alloc.
  void add_waiting(work& job, std::chrono::milliseconds at_most);
  /// All regions that have jobs, and some that had.
  [[nodiscard]] std::vector<region_key> regions() const;

private:
  /// First in, first out, without memory of its own.
  template <class T>
  struct line {
    T *first = nullptr, *last = nullptr;
    void push(T& one) {
      one.next = nullptr;
      (last != nullptr ? last->next : first) = &one;
      last = &one;
    }
    T* pop() {
      T* const one = first;
      if (one != nullptr && (first = one->next) == nullptr)
        last = nullptr;
      return one;
    }
  };
  /// Queues are kept beyond their jobs for the worker that they name: so many in any case.
  static constexpr size_t least_kept = 16'384;
  struct region_queue {
    line<work> jobs;
    region_queue* next = nullptr; ///< that can be run
    bool claimed = false;         ///< in runnable_, or a worker has it
    uint32_t worker = 0;          ///< who had it last: its field may still be in that core's cache
  };

  void stop();
  void begin(std::unique_lock<std::mutex>& lock, bool many);
  void work_until_stopped(uint32_t worker);
  void work_here(std::unique_lock<std::mutex>& lock);
  void run_next(std::unique_lock<std::mutex>& lock, uint32_t worker);
  void make_runnable(region_queue& queue);
  void find_queue(work& job);
  void forget_idle_queues();
  void queue_job(work& job);
  [[nodiscard]] bool nothing_urgent() const { return runnable_regions_ == 0 && tasks_.first == nullptr; }
  [[nodiscard]] bool idle() const { return nothing_urgent() && waiting_.first == nullptr; }

  const bool own_threads_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  line<work> tasks_;
  line<work> waiting_; ///< jobs that may wait, by time
  std::unordered_map<region_key, std::shared_ptr<region_queue>> regions_;
  size_t most_regions_ = least_kept;         ///< when there are more, those without jobs are forgotten
  std::vector<line<region_queue>> runnable_; ///< by worker; one whose own are done takes from the others
  size_t runnable_regions_ = 0;
  bool stopping_ = false;
  std::thread::id borrowed_;          ///< without threads: the one that does the work
  std::vector<std::jthread> threads_; ///< last: they use all of the above
};

} // namespace tessera::cpu
