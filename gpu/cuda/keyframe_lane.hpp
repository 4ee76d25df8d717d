#pragma once

#include "gpu/cuda/async_fields.hpp"
#include "gpu/cuda/field_kernels.hpp"
#include "gpu/cuda/lent_rays.hpp"
#include "gpu/cuda/pinned_body.hpp"
#include "gpu/cuda/ray_lane.hpp"

#include <memory>
#include <optional>
#include <vector>

namespace tessera::cuda {

/// A keyframe that is to be taken whole: its points, or rays that another device made of them.
struct fuse_request {
  std::shared_ptr<const keyframe_body> body;
  std::shared_ptr<const handed_rays> rays;
  pose world_from_camera;
  fuse_options options;
  keyframe_device::fused answer;
  keyframe_device::handed hand_on;
};

/// What comes down in one piece of a keyframe.
struct keyframe_status {
  batch_state state;
  ray_totals totals;
  uint32_t handed[most_shares]; ///< rays for each of the devices that share the map
};
static_assert(sizeof(keyframe_status) % sizeof(uint64_t) == 0);

/// A keyframe under way, and what a device needs for it.
template <device_like Device>
struct keyframe_lane {
  using mark = typename Device::mark;
  /// What recorded work depends on: where buffers on the device are, which nothing can change but an allocation there, and what
  /// is asked for.
  struct work_key {
    uint64_t allocations;
    bool times;
    bool operator==(const work_key&) const = default;
  };

  ray_lane<Device> rays;
  device_buffer<Device, ray_walk> walks;
  device_buffer<Device, touch> touches;
  device_buffer<Device, uint32_t> touched_by; ///< by slot: the number of the lane's last keyframe that touched the region
  uint32_t keyframe_number = 0;               ///< no two that touched_by knows have the same
  device_buffer<Device, uint8_t> status;      ///< keyframe_status, and after it the slots of all regions that are touched
  pinned_buffer<Device, uint8_t> status_down;
  mark begun, uploaded, split, integrated, all_done;
  typename Device::recording rest; ///< what is done to the fields for the last of a group, once the touches are known
  std::optional<work_key> rest_for;
  walk_frame frame;
  size_t fetched = 0;        ///< rays that another device made; 0: they are made here
  bool counted = false;      ///< the store knows what it took and touched
  uint32_t group = 0;        ///< of keyframes that are meshed together; 0: it is not meshed
  bool meshes_group = false; ///< it is the last of its group
  std::vector<region_key> touched;
  std::shared_ptr<typename lending_pool<Device>::memory> lent; ///< rays for other devices
  uint32_t most_lent = 0;                                      ///< to each of them
  fuse_request request;
  fuse_report report;

  keyframe_lane(Device& device, const mapping& map, copy_crew& crew, uint32_t slot_count)
    : rays(device, map, crew), walks(device), touches(device), touched_by(device, slot_count),
      status(device, sizeof(keyframe_status) + slot_count * sizeof(uint32_t)), status_down(device, status.size()), begun(device),
      uploaded(device), split(device), integrated(device), all_done(device), rest(device) {}
  [[nodiscard]] keyframe_status* on_device() const { return reinterpret_cast<keyframe_status*>(status.data()); }
  [[nodiscard]] batch_state* state_on_device() const { return &on_device()->state; }
  [[nodiscard]] uint32_t* slots_on_device() const { return reinterpret_cast<uint32_t*>(status.data() + sizeof(keyframe_status)); }
  [[nodiscard]] keyframe_status& on_host() const { return *reinterpret_cast<keyframe_status*>(status_down.data()); }
  [[nodiscard]] batch_state& state() const { return on_host().state; }
  [[nodiscard]] uint32_t* slots() const { return reinterpret_cast<uint32_t*>(status_down.data() + sizeof(keyframe_status)); }

  /// Begins to bring a keyframe's points to the device and to add them to their cells, or to fetch its rays. `lending`: where
  /// rays for other devices go, `lent_at_once` of them at first. Throws as ray_lane::add().
  void begin_rays(const fuse_request& asked, lending_pool<Device>& lending, size_t lent_at_once) {
    rays.work().fill(status.data(), sizeof(keyframe_status), 0);
    lent = nullptr;
    fetched = 0;
    const bool times = asked.options.times;
    if (asked.rays)
      return fetch_rays(dynamic_cast<const lent_rays<Device>&>(*asked.rays), times); // fuse_handed() has seen to it that they are
    const keyframe_body& body = *asked.body;
    walks.ensure(body.size());
    const bool pinned = dynamic_cast<const pinned_body<Device>*>(&body) != nullptr;
    if (const uint32_t others = asked.hand_on ? asked.options.shares - 1 : 0; others != 0) {
      most_lent = static_cast<uint32_t>(body.size());
      lent = lending.take(body.size() * others, lent_at_once);
    }
    const auto copied = rays.add(body, asked.world_from_camera, pinned, &on_device()->totals, times ? &begun : nullptr,
                                 times ? &uploaded : nullptr);
    report.copies = copied.copies;
    report.bytes_up = copied.bytes;
  }

  [[nodiscard]] touch_list touch_room() const { return {walks.data(), touches.data(), static_cast<uint32_t>(touches.size())}; }
  [[nodiscard]] hand_over lists_for_others() const { return {lent ? lent->data() : nullptr, most_lent, on_device()->handed}; }

  /// Gives each of the other devices its rays; `owner` is this one. The status must have come down.
  void hand_on(Device& owner) {
    const fuse_options& options = request.options;
    const hand_over lists = lists_for_others();
    std::vector<std::shared_ptr<const handed_rays>> out(options.shares);
    for (uint32_t share = 0; share < options.shares; ++share)
      if (share != options.share)
        out[share]
          = std::make_shared<lent_rays<Device>>(owner, lent, lists.list_for(share, options.share), on_host().handed[share]);
    lent = nullptr;
    request.hand_on(std::move(out));
  }

  void read_times() {
    report.upload_ms = uploaded.ms_since(begun);
    report.rays_ms = split.ms_since(uploaded);
    report.integrate_ms = integrated.ms_since(split);
    report.extract_ms = all_done.ms_since(integrated);
  }

private:
  void fetch_rays(const lent_rays<Device>& from, bool times) {
    fetched = from.size();
    walks.ensure(fetched);
    if (times)
      rays.work().set(begun);
    rays.fetch(from.owner(), from.data(), fetched);
    if (times)
      rays.work().set(uploaded);
    report.copies = 1;
    report.bytes_up = fetched * sizeof(ray);
  }
};

} // namespace tessera::cuda
