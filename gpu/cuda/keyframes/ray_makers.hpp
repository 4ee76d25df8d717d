#pragma once

#include "gpu/cuda/keyframes/ray_lane.hpp"
#include "gpu/fields.hpp"
#include "messages/thread_name.hpp"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace tessera::cuda {

/// Threads that make keyframes' rays alone, each on a stream of its own. Threads: any may ask.
template <device_like Device>
class ray_makers {
public:
  ray_makers(Device& device, const map_settings& map, copy_crew& crew, uint32_t count) : device_(device) {
    for (uint32_t i = 0; i < std::max(1u, count); ++i)
      lanes_.push_back(std::make_unique<ray_lane<Device>>(device, map, crew));
    try {
      for (auto& lane : lanes_)
        threads_.emplace_back([this, &lane] { make_rays(*lane); });
    } catch (...) {
      stop(); // those that were started would wait for work for ever
      throw;
    }
  }
  /// What still waits is answered with an error.
  ~ray_makers() {
    stop();
    for (auto& r : waiting_)
      r.answer({}, {}, std::make_exception_ptr(std::runtime_error("the device is being closed")));
  }
  ray_makers(const ray_makers&) = delete;
  ray_makers& operator=(const ray_makers&) = delete;

  /// See async_fields::rays().
  void add(std::shared_ptr<const keyframe_body> body, const pose& world_from_camera, async_fields::rays_done answer) {
    {
      const std::scoped_lock lock(mutex_);
      waiting_.push_back({std::move(body), world_from_camera, std::move(answer)});
    }
    asked_.notify_one();
  }

private:
  struct request {
    std::shared_ptr<const keyframe_body> body;
    pose world_from_camera;
    async_fields::rays_done answer;
  };

  void stop() {
    {
      const std::scoped_lock lock(mutex_);
      stopping_ = true;
    }
    asked_.notify_all();
    threads_.clear(); // joins
  }

  void make_rays(ray_lane<Device>& lane) {
    name_thread("gpu rays");
    device_.bind();
    for (;;) {
      request r;
      {
        std::unique_lock lock(mutex_);
        asked_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
        if (stopping_)
          return;
        r = std::move(waiting_.front());
        waiting_.pop_front();
      }
      std::vector<ray> rays;
      ray_counts counts;
      std::exception_ptr failure;
      try {
        rays = lane.make_and_wait(*r.body, r.world_from_camera, counts);
      } catch (...) {
        failure = std::current_exception();
      }
      r.answer(std::move(rays), counts, failure);
    }
  }

  Device& device_;
  std::vector<std::unique_ptr<ray_lane<Device>>> lanes_;
  std::mutex mutex_; ///< guards all below but the threads
  std::condition_variable asked_;
  std::deque<request> waiting_;
  bool stopping_ = false;
  std::vector<std::jthread> threads_; ///< last: they use all of the above
};

} // namespace tessera::cuda
