#include "gpu/cpu/region_pool.hpp"

#include "messages/thread_name.hpp"

#include <algorithm>
#include <utility>

namespace tessera::cpu {

region_pool::region_pool(uint32_t threads) : own_threads_(threads != 0), runnable_(std::max(threads, 1u)) {
  try {
    for (uint32_t i = 0; i < threads; ++i)
      threads_.emplace_back([this, i] {
        name_thread("cpu fields");
        work_until_stopped(i);
      });
  } catch (...) {
    stop(); // those that run are joined, and would wait for work for ever
    throw;
  }
}

region_pool::~region_pool() {
  stop();
  threads_.clear();
  while (!idle()) { // what is let go may still ask for something
    for (auto& of_worker : runnable_)
      while (auto* const queue = of_worker.pop()) {
        --runnable_regions_;
        while (auto* const job = queue->jobs.pop())
          job->let_go();
        queue->claimed = false;
      }
    for (auto* const these : {&tasks_, &waiting_})
      while (auto* const one = these->pop())
        one->let_go();
  }
}

void region_pool::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
}

void region_pool::run(work& task) noexcept {
  std::unique_lock lock(mutex_);
  tasks_.push(task);
  begin(lock, false);
}

void region_pool::add(work* jobs) {
  std::unique_lock lock(mutex_);
  for (auto* job = jobs; job != nullptr; job = job->next)
    find_queue(*job);
  while (jobs != nullptr) // nothing throws from here on
    queue_job(*std::exchange(jobs, jobs->next));
  begin(lock, true);
}

void region_pool::add_waiting(work& job, std::chrono::milliseconds at_most) {
  std::unique_lock lock(mutex_);
  find_queue(job);
  job.due_ = clock::now() + at_most;
  waiting_.push(job);
  begin(lock, false);
}

void region_pool::find_queue(work& job) {
  if (job.queue_ != nullptr)
    return;
  auto at = regions_.find(job.region);
  if (at == regions_.end()) {
    if (regions_.size() >= most_regions_)
      forget_idle_queues();
    auto made = std::make_shared<region_queue>();
    made->worker = static_cast<uint32_t>(regions_.size() % runnable_.size());
    at = regions_.emplace(job.region, std::move(made)).first;
  }
  job.queue_ = at->second;
}

void region_pool::forget_idle_queues() {
  std::erase_if(regions_, [](const auto& one) { return one.second.use_count() == 1 && !one.second->claimed; });
  most_regions_ = std::max(least_kept, 2 * regions_.size());
}

void region_pool::queue_job(work& job) {
  auto& queue = *job.queue_;
  queue.jobs.push(job);
  if (!std::exchange(queue.claimed, true))
    make_runnable(queue);
}

void region_pool::begin(std::unique_lock<std::mutex>& lock, bool many) {
  if (stopping_)
    return;
  if (!own_threads_)
    return work_here(lock);
  lock.unlock();
  many ? changed_.notify_all() : changed_.notify_one();
}

void region_pool::make_runnable(region_queue& queue) {
  runnable_[queue.worker].push(queue);
  ++runnable_regions_;
}

std::vector<region_key> region_pool::regions() const {
  const std::lock_guard lock(mutex_);
  std::vector<region_key> out;
  out.reserve(regions_.size());
  for (const auto& [key, queue] : regions_)
    out.push_back(key);
  return out;
}

void region_pool::work_until_stopped(uint32_t worker) {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || !idle(); });
    if (stopping_)
      return;
    run_next(lock, worker);
  }
}

void region_pool::work_here(std::unique_lock<std::mutex>& lock) {
  const auto me = std::this_thread::get_id();
  if (borrowed_ == me)
    return; // a task or job gave it: the call further up does it
  changed_.wait(lock, [&] { return borrowed_ == std::thread::id{}; });
  borrowed_ = me;
  while (!idle())
    run_next(lock, 0);
  borrowed_ = {};
  lock.unlock();
  changed_.notify_one();
}

void region_pool::run_next(std::unique_lock<std::mutex>& lock, uint32_t worker) {
  if (waiting_.first != nullptr && (nothing_urgent() || clock::now() >= waiting_.first->due_))
    queue_job(*waiting_.pop());
  if (nothing_urgent())
    return; // its region is being worked on
  if (runnable_regions_ == 0) {
    auto* const task = tasks_.pop();
    lock.unlock();
    task->run();
    return lock.lock();
  }
  size_t from = worker;
  while (runnable_[from].first == nullptr)
    from = (from + 1) % runnable_.size();
  auto& queue = *runnable_[from].pop();
  --runnable_regions_;
  queue.worker = worker;
  auto jobs = std::exchange(queue.jobs, {});
  lock.unlock();
  while (auto* const job = jobs.pop())
    job->run();
  lock.lock();
  if (queue.jobs.first == nullptr) {
    queue.claimed = false;
    return;
  }
  make_runnable(queue);
  changed_.notify_one();
}

} // namespace tessera::cpu
