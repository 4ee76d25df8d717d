#include "gpu/region_pool.hpp"

namespace tessera {

region_pool::region_pool(uint32_t threads, region_function apply, bool one_job_at_a_time)
  : apply_(std::move(apply)), one_at_a_time_(one_job_at_a_time), most_tasks_(size_t{2} * threads), runnable_(threads) {
  try {
    for (uint32_t i = 0; i < threads; ++i)
      threads_.emplace_back([this, i] { work(i); });
  } catch (...) {
    stop(); // those that run are joined, and would wait for work for ever
    throw;
  }
}

region_pool::~region_pool() {
  stop();
}

void region_pool::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
}

void region_pool::run(task what) {
  {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] { return tasks_.size() < most_tasks_; });
    tasks_.push_back(std::move(what));
  }
  work_.notify_one();
}

void region_pool::add(std::vector<std::pair<region_key, ray_job>> jobs) {
  {
    const std::lock_guard lock(mutex_);
    for (auto& [region, job] : jobs) {
      const auto [at, fresh] = regions_.try_emplace(region);
      auto& queue = at->second;
      if (fresh)
        queue.worker = static_cast<uint32_t>(regions_.size() % runnable_.size());
      queue.jobs.push_back(std::move(job));
      if (!std::exchange(queue.claimed, true)) {
        runnable_[queue.worker].push_back(region);
        ++runnable_regions_;
      }
    }
  }
  work_.notify_all();
}

bool region_pool::failed() {
  const std::lock_guard lock(mutex_);
  return failure_ != nullptr;
}

void region_pool::wait() {
  std::unique_lock lock(mutex_);
  quiet_.wait(lock, [&] { return tasks_.empty() && runnable_regions_ == 0 && running_ == 0; });
  if (failure_)
    std::rethrow_exception(std::exchange(failure_, nullptr));
}

void region_pool::work(uint32_t worker) {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [&] { return stopping_ || runnable_regions_ != 0 || !tasks_.empty(); });
    if (stopping_)
      return;
    ++running_;
    if (runnable_regions_ != 0)
      run_region(lock, worker);
    else
      run_task(lock);
    --running_;
    if (tasks_.empty() && runnable_regions_ == 0 && running_ == 0)
      quiet_.notify_all();
  }
}

void region_pool::run_region(std::unique_lock<std::mutex>& lock, uint32_t worker) {
  size_t from = worker;
  while (runnable_[from].empty())
    from = (from + 1) % runnable_.size();
  const auto region = runnable_[from].front();
  runnable_[from].pop_front();
  --runnable_regions_;
  auto& queue = regions_[region]; // references into an unordered_map stay good while others insert
  queue.worker = worker;
  std::vector<ray_job> jobs;
  if (one_at_a_time_) {
    jobs.push_back(std::move(queue.jobs.front()));
    queue.jobs.erase(queue.jobs.begin());
  } else {
    jobs.swap(queue.jobs);
  }
  // Once anything has failed, the map is worthless: what still waits is thrown away, so that wait() returns soon.
  if (!failure_)
    unlocked(lock, [&] { apply_(region, jobs); });
  if (queue.jobs.empty()) {
    queue.claimed = false;
  } else {
    runnable_[worker].push_back(region);
    ++runnable_regions_;
    work_.notify_one();
  }
}

void region_pool::run_task(std::unique_lock<std::mutex>& lock) {
  const auto what = std::move(tasks_.front());
  tasks_.pop_front();
  room_.notify_one();
  unlocked(lock, what);
}

template <class F>
void region_pool::unlocked(std::unique_lock<std::mutex>& lock, F what) {
  lock.unlock();
  std::exception_ptr failure;
  try {
    what();
  } catch (...) {
    failure = std::current_exception();
  }
  lock.lock();
  if (failure && !failure_)
    failure_ = failure;
}

} // namespace tessera
