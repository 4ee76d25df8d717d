#pragma once

#include "actors/base/log.hpp"
#include "actors/base/log_limit.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace tessera {

/// An input that was set aside, and why.
struct aside_entry {
  uint64_t time_ns = 0; ///< since 1970, system clock
  std::string source;   ///< shm, amqp, http, rgbd, synthetic, ingest
  std::string what;     ///< names the input
  std::string reason;   ///< the field, the value and the bound, in words
};

/// The newest inputs that were set aside, and how many came from each source. Each is also a warning in the log, within
/// log_limit. Threads: any.
class aside_log {
public:
  static constexpr size_t capacity = 100;
  /// Longer texts are cut: what came from outside must not grow the log.
  static constexpr size_t max_text = 1024;
  static constexpr size_t max_sources = 32;

  /// Sets the log for warnings; to be called before the first input comes.
  void warn_to(log_function log) { log_ = std::move(log); }

  void add(std::string source, std::string what, std::string reason);

  /// Newest first.
  [[nodiscard]] std::vector<aside_entry> newest() const;

  /// How many were set aside, by source.
  [[nodiscard]] std::map<std::string, uint64_t> by_source() const;

  [[nodiscard]] uint64_t total() const;

private:
  void warn(const aside_entry& entry, uint64_t held_back) const;

  log_function log_;
  log_limit limit_;
  mutable std::mutex mutex_;
  std::deque<aside_entry> entries_;
  std::map<std::string, uint64_t> counts_;
  uint64_t total_ = 0;
};

} // namespace tessera
