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
    for (const auto& d : devices)
      put(d.id, d.handle, d.capacity);
  }

  void on_exit() override { handles_.clear(); }

  behavior_type make_behavior() override {
    return {
      [this](place_atom, region_key region) -> caf::result<device_id, device_actor> {
        const auto id = table_.place(region);
        return {id, handles_.at(id)};
      },
      [this](caf::put_atom, device_id id, const device_actor& handle, double capacity) { put(id, handle, capacity); },
      [this](caf::delete_atom, device_id id) {
        table_.remove(id);
        handles_.erase(id);
        tell();
      },
    };
  }

private:
  void put(device_id id, const device_actor& handle, double capacity) {
    table_.add(id, capacity);
    handles_[id] = handle;
    tell();
  }

  void tell() { record().set_detail("places regions on " + std::to_string(table_.size()) + " devices"); }

  placement_table table_;
  std::map<device_id, device_actor> handles_;
};

} // namespace

placement_setup spawn_placement(caf::actor_system& system, actor_context context, const std::vector<placed_device>& devices) {
  return system.spawn<placement>(std::move(context), devices);
}

} // namespace tessera
