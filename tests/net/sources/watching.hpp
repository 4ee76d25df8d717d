#pragma once

#include "net/sources/source_table.hpp"
#include "recording_sink.hpp"
#include "shm_name.hpp"
#include "tests/support/segment_bytes.hpp"
#include "want.hpp"

#include <catch2/catch.hpp>

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>

namespace tessera::testing {

/// A watch at work in a thread of its own: as for the CPU, and once more as for GPUs.
struct watching {
  explicit watching(source_options o = {}, std::string p = shm_name::own_prefix()) : prefix(std::move(p)), options(std::move(o)) {
    options.shm.settle_ms = 30;
    if (GENERATE(false, true)) {
      options.segments.memory = std::make_shared<host_memory>(nullptr);
      options.segments.readers = 4;
    }
  }
  ~watching() { stop(); }
  void start() {
    worker = std::jthread([this](std::stop_token token) {
      std::optional<other_user> nobody;
      if (as_other_user)
        nobody.emplace();
      make_source("shm:" + prefix, options)->run(sink, token);
    });
  }
  void stop() {
    worker.request_stop();
    if (worker.joinable())
      worker.join();
  }
  std::multiset<std::string> ids() {
    std::multiset<std::string> out;
    for (const auto& k : sink.frames())
      out.insert(k.id.value);
    return out;
  }
  std::string prefix;
  source_options options;
  bool as_other_user = false;
  recording_sink sink;
  std::jthread worker;
};

inline segment_bytes with_value(float v) {
  segment_bytes s;
  s.value = v;
  return s;
}

} // namespace tessera::testing
