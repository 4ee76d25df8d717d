#pragma once

#include "actors/base/actor_registry.hpp"
#include "actors/base/log.hpp"
#include "actors/base/telemetry.hpp"

#include <memory>

namespace tessera {

/// What every actor of a node shares: where it is listed, what it counts, where it logs.
struct actor_context {
  std::shared_ptr<actor_registry> registry = std::make_shared<actor_registry>();
  std::shared_ptr<telemetry> numbers = std::make_shared<telemetry>();
  log_function log;

  void write(severity level, const std::string& text) const {
    if (log)
      log(level, text);
  }
};

} // namespace tessera
