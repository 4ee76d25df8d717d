#pragma once

#include "gpu/cuda/keyframes/keyframe_lane.hpp"
#include "messages/thread_name.hpp"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

namespace tessera::cuda {

/// A keyframe that is in the fields, and has not been answered.
template <device_like Device>
struct taken_keyframe {
  asked_keyframe asked;
  take_report report;                                    ///< with room for the rays
  typename ray_lane<Device>::downloaded_rays downloaded; ///< rays that are to be in it

  void answer() {
    if (downloaded.count != 0)
      report.kept.assign(downloaded.rays().begin(), downloaded.rays().end());
    downloaded = {};
    asked.answer(std::move(report), nullptr);
  }
};

/// Answers keyframes in a thread of its own: to copy their rays into fresh memory takes as long as to integrate them.
/// Threads: one calls; all that was added is answered before the object goes.
template <device_like Device>
class take_answers {
public:
  take_answers() : thread_([this] { work(); }) {}
  ~take_answers() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_one();
  }
  take_answers(const take_answers&) = delete;
  take_answers& operator=(const take_answers&) = delete;

  void add(taken_keyframe<Device> done) {
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(done));
    }
    changed_.notify_one();
  }

private:
  void work() {
    name_thread("gpu answers");
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
      if (waiting_.empty())
        return;
      auto next = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      taken_keyframe<Device>(std::move(next)).answer(); // and is gone: to free its points may take long
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<taken_keyframe<Device>> waiting_;
  bool stopping_ = false;
  std::jthread thread_; ///< last: it uses all of the above
};

} // namespace tessera::cuda
