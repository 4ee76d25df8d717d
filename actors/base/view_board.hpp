#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace tessera {

/// Where viewers look from, for whoever has to choose what comes first. Threads: any.
class view_board {
public:
  using position = std::array<float, 3>; ///< metres, in the map

  /// A viewer, by an id of its own, is there from now on.
  void set(uint64_t viewer, const position& at) {
    const std::lock_guard lock{mutex_};
    const auto [its, fresh] = now_.try_emplace(viewer, at);
    if (!fresh && its->second == at)
      return;
    its->second = at;
    ++changes_;
  }
  void erase(uint64_t viewer) {
    const std::lock_guard lock{mutex_};
    changes_ += now_.erase(viewer);
  }
  [[nodiscard]] std::vector<position> current() const {
    const std::lock_guard lock{mutex_};
    std::vector<position> out;
    for (const auto& [viewer, at] : now_)
      out.push_back(at);
    return out;
  }
  /// Grows with each change.
  [[nodiscard]] uint64_t changes() const { return changes_.load(std::memory_order_relaxed); }

private:
  mutable std::mutex mutex_;
  std::unordered_map<uint64_t, position> now_;
  std::atomic<uint64_t> changes_{0};
};

} // namespace tessera
