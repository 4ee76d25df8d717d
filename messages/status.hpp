#pragma once
// What the inspector tells of each actor.

#include "messages/ids.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tessera {

/// What one actor did with one type of message.
struct handler_status {
  std::string message;
  uint64_t handled = 0;
  double p50_s = 0, p99_s = 0, total_s = 0; ///< handling time
};

/// One actor, as `GET /v1/actors` shows it.
struct actor_status {
  std::string role; ///< mesher, partitioner, ...
  uint64_t id = 0;  ///< CAF's actor id, unique in its node
  std::optional<region_key> region;
  std::optional<device_id> device;
  std::string state;  ///< idle, busy, down
  std::string detail; ///< what it holds and waits for, in words
  uint64_t mailbox = 0;
  std::vector<handler_status> handlers;
  uint64_t restarts = 0;
  std::string last_error;
};

} // namespace tessera
