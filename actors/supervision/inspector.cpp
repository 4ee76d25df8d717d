#include "actors/supervision/inspector.hpp"

#include "actors/base/instrumented.hpp"

namespace tessera {

namespace {

class inspector final : public instrumented<inspector_actor> {
public:
  inspector(caf::actor_config& cfg, actor_context context) : instrumented(cfg, std::move(context), {role::inspector}) {}

  behavior_type make_behavior() override {
    return {
      [this](status_atom) { return shared().registry->statuses(); },
    };
  }
};

} // namespace

inspector_actor spawn_inspector(caf::actor_system& system, actor_context context) {
  return system.spawn<inspector>(std::move(context));
}

} // namespace tessera
