#pragma once

#include "gpu/cuda/async_fields.hpp"

#include <memory>
#include <mutex>
#include <vector>

namespace tessera {

/// GPUs that take turns. Threads: any.
class gpu_turns {
public:
  using gpu = std::shared_ptr<cuda::async_fields>;
  explicit gpu_turns(std::vector<gpu> gpus) : gpus_{std::move(gpus)} {}

  /// The one whose turn it is; null if there is none.
  [[nodiscard]] gpu next() {
    const std::lock_guard lock{mutex_};
    return gpus_.empty() ? nullptr : gpus_[turn_++ % gpus_.size()];
  }
  /// One that failed gets no more turns. Answers whether it had any.
  bool remove(const gpu& failed) {
    const std::lock_guard lock{mutex_};
    return std::erase(gpus_, failed) > 0;
  }

private:
  std::mutex mutex_;
  std::vector<gpu> gpus_;
  size_t turn_ = 0;
};

} // namespace tessera
