#pragma once

#include "messages/keyframe.hpp"
#include "net/base/bell.hpp"
#include "net/sources/shm/shm_segment.hpp"

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace tessera {

/// What the sink's threads, and those that clear segments away, have for a watch's thread. Completions keep it alive.
class verdict_desk {
public:
  struct entry {
    std::shared_ptr<shm_segment> segment;
    uint64_t digest = 0;
    bool plain = false; ///< it was offered under its name alone
    verdict what;
  };
  /// What has come since it was looked at last.
  struct post_box {
    std::vector<entry> verdicts;
    std::vector<std::string> kept; ///< names that something else has by now than what was read
  };
  void post(entry e) {
    {
      std::lock_guard lock(mutex_);
      box_.verdicts.push_back(std::move(e));
    }
    ring.ring();
  }
  void keep(const std::string& name) {
    {
      std::lock_guard lock(mutex_);
      box_.kept.push_back(name);
    }
    ring.ring();
  }
  post_box take() {
    ring.quiet();
    std::lock_guard lock(mutex_);
    return std::exchange(box_, {});
  }

  bell ring;

private:
  std::mutex mutex_;
  post_box box_;
};

} // namespace tessera
