#include "actors/map/placement.hpp"

#include "actors/base/instrumented.hpp"

#include <algorithm>

namespace tessera {

const placed_device* device_table::owner(region_key region) const {
  if (devices.empty())
    return nullptr;
  const auto index = owner_of(region, {0, count, lost});
  const auto i = std::find_if(devices.begin(), devices.end(), [&](const placed_device& d) { return d.index == index; });
  return i == devices.end() ? nullptr : &*i;
}

bool device_table::has(const device_actor& handle) const {
  return std::any_of(devices.begin(), devices.end(), [&](const placed_device& d) { return d.handle == handle; });
}

namespace {

class placement final : public instrumented<placement_setup> {
public:
  placement(caf::actor_config& cfg, actor_context context, device_table devices)
    : instrumented(cfg, std::move(context), {role::placement}) {
    put(std::move(devices));
  }

  void on_exit() override { table_ = {}; }

  behavior_type make_behavior() override {
    return {
      [this](place_atom, region_key region) -> caf::result<device_id, device_actor> {
        const auto* owner = table_.owner(region);
        if (owner == nullptr)
          return caf::make_error(ec::restarting, std::string{"no device is there"});
        return {owner->id, owner->handle};
      },
      [this](caf::put_atom, device_table& devices) { put(std::move(devices)); },
    };
  }

private:
  void put(device_table devices) {
    table_ = std::move(devices);
    record().set_detail("places regions on " + std::to_string(table_.devices.size()) + " devices");
  }

  device_table table_;
};

} // namespace

placement_setup spawn_placement(caf::actor_system& system, actor_context context, device_table devices) {
  return system.spawn<placement>(std::move(context), std::move(devices));
}

} // namespace tessera
