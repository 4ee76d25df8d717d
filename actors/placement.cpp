#include "actors/placement.hpp"

#include "actors/instrumented.hpp"
#include "actors/placement_table.hpp"

#include <map>

namespace tessera {

namespace {

class placement final : public instrumented<placement_setup> {
public:
  placement(caf::actor_config& cfg, actor_context context, const std::vector<placed_device>& devices)
    : instrumented(cfg, std::move(context), {"placement"}) {
    for (const auto& d : devices) {
      table_.add(d.id, d.capacity);
      handles_[d.id] = d.handle;
    }
  }

  void on_exit() override { handles_.clear(); }

  behavior_type make_behavior() override {
    return {
      [this](place_atom, region_key region) -> caf::result<device_id, device_actor> {
        const auto id = table_.place(region);
        return {id, handles_.at(id)};
      },
      [this](caf::put_atom, device_id id, const device_actor& successor) { handles_.at(id) = successor; },
    };
  }

private:
  placement_table table_;
  std::map<device_id, device_actor> handles_;
};

} // namespace

placement_setup spawn_placement(caf::actor_system& system, actor_context context, const std::vector<placed_device>& devices) {
  return system.spawn<placement>(std::move(context), devices);
}

} // namespace tessera
