#pragma once

#include "actors/base/actor_registry.hpp"
#include "actors/base/log.hpp"
#include "actors/base/telemetry.hpp"

#include <atomic>
#include <cstdint>
#include <memory>

namespace tessera {

/// What every actor of a node shares: where it is listed, what it counts, where it logs.
struct actor_context {
  std::shared_ptr<actor_registry> registry = std::make_shared<actor_registry>();
  std::shared_ptr<telemetry> numbers = std::make_shared<telemetry>();
  log_function log;
  /// Places that were given to what was offered (keyframe::admission).
  std::shared_ptr<std::atomic<uint64_t>> admissions = std::make_shared<std::atomic<uint64_t>>(0);

  /// The next place. Threads: any.
  [[nodiscard]] uint64_t next_admission() const { return admissions->fetch_add(1, std::memory_order_relaxed) + 1; }
  void write(severity level, const std::string& text) const {
    if (log)
      log(level, text);
  }
};

} // namespace tessera
