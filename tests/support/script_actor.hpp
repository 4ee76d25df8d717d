#pragma once

#include <caf/event_based_actor.hpp>

#include <functional>

namespace tessera {

/// An actor that runs a function when it starts and lives as long as that leaves it something to wait for. A class, because CAF
/// 0.17 dereferences a null pointer where it starts a function without arguments.
class script_actor final : public caf::event_based_actor {
public:
  using script = std::function<caf::behavior(caf::event_based_actor*)>;
  script_actor(caf::actor_config& cfg, script run) : caf::event_based_actor(cfg), run_{std::move(run)} {}
  caf::behavior make_behavior() override { return run_(this); }

private:
  script run_;
};

} // namespace tessera
