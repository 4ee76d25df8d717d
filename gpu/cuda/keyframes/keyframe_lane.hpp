#pragma once

#include "gpu/cuda/fields/field_kernels.hpp"
#include "gpu/cuda/keyframes/lent_rays.hpp"
#include "gpu/cuda/keyframes/ray_lane.hpp"
#include "gpu/fields.hpp"
#include "gpu/host/host_memory.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

namespace tessera::cuda {

/// A keyframe that is to be taken whole. If there are handed rays, there are no others and no points.
struct asked_keyframe {
  take_request what;
  async_fields::take_done answer;
};

/// What comes down in one piece of a keyframe.
struct keyframe_status {
  batch_state state;
  ray_totals totals;
  uint32_t handed[most_shares]; ///< rays for each of the devices that share the map
};
static_assert(sizeof(keyframe_status) % sizeof(uint64_t) == 0);

template <device_like Device>
using lending_pool = buffer_pool<typename lent_rays<Device>::memory, Device>;

/// Item: a ray. Reads it where it lies, perhaps on another device, and puts it where the kernels of this one look for it.
struct bring_ray {
  const ray* from = nullptr; ///< null: it is there
  ray* to = nullptr;
  TESSERA_HD void operator()(uint64_t i) const { to[i] = from[i]; }
};

/// A keyframe under way, and what a device needs for it.
template <device_like Device>
struct keyframe_lane {
  using mark = typename Device::mark;
  /// What recorded work depends on: where buffers on the device are, which nothing can change but an allocation there, and what
  /// is asked for.
  struct work_key {
    uint64_t allocations;
    bool times, note;
    bool operator==(const work_key&) const = default;
  };
  /// Where a keyframe has come to.
  struct marks {
    mark begun, uploaded, split, integrated, all_done;
    marks(Device& device, bool timed)
      : begun(device, timed), uploaded(device, timed), split(device, timed), integrated(device, timed), all_done(device, timed) {}
  };

  ray_lane<Device> rays;
  device_buffer<Device, ray_walk> walks;
  device_buffer<Device, touch> touches;
  device_buffer<Device, uint32_t> touched_by; ///< by slot: the number of the lane's last keyframe that touched the region
  uint32_t keyframe_number = 0;               ///< no two that touched_by knows have the same
  device_buffer<Device, uint8_t> status;      ///< keyframe_status, and after it the slots of all regions that are touched
  pinned_buffer<Device, uint8_t> status_down;
  marks untimed, timed;
  marks* at = &untimed;             ///< those of this keyframe
  uint64_t departures = 0;          ///< regions that had left the device when it was begun
  uint64_t knows_of = 0;            ///< the last news of regions that its stream comes after
  typename Device::recording fused; ///< what is done to the fields, once the touches are known; and for the last of a group
  typename Device::recording rest;  ///< with the meshes, too
  std::optional<work_key> fused_for, rest_for;
  walk_frame frame;
  bring_ray bring;             ///< if they are to be read from another device's memory
  std::optional<size_t> given; ///< rays that were made already; none: they are made here
  bool counted = false;        ///< the store knows what it took and touched
  uint32_t group = 0;          ///< of keyframes that are meshed together; 0: it is not meshed
  bool meshes_group = false;   ///< it is the last of its group
  std::vector<region_key> touched;
  std::shared_ptr<typename lent_rays<Device>::memory> lent; ///< rays for other devices
  uint32_t most_lent = 0;                                   ///< to each of them
  device_buffer<Device, uint64_t> only;                     ///< names of the regions that it is to be written to, ascending
  pinned_buffer<Device, uint64_t> only_up;
  asked_keyframe asked;
  take_report report;
  typename ray_lane<Device>::brought_rays brought; ///< for the report

  keyframe_lane(Device& device, const map_settings& map, copy_crew& crew, uint32_t slot_count)
    : rays(device, map, crew), walks(device), touches(device), touched_by(device, slot_count),
      status(device, sizeof(keyframe_status) + slot_count * sizeof(uint32_t)), status_down(device, status.size()),
      untimed(device, false), timed(device, true), fused(device), rest(device), only(device), only_up(device) {}
  [[nodiscard]] keyframe_status* on_device() const { return reinterpret_cast<keyframe_status*>(status.data()); }
  [[nodiscard]] batch_state* state_on_device() const { return &on_device()->state; }
  [[nodiscard]] uint32_t* slots_on_device() const { return reinterpret_cast<uint32_t*>(status.data() + sizeof(keyframe_status)); }
  [[nodiscard]] keyframe_status& on_host() const { return *reinterpret_cast<keyframe_status*>(status_down.data()); }
  [[nodiscard]] batch_state& state() const { return on_host().state; }
  [[nodiscard]] uint32_t* slots() const { return reinterpret_cast<uint32_t*>(status_down.data() + sizeof(keyframe_status)); }

  /// Begins to bring a keyframe's points to the device and to add them to their cells, or to bring its rays. `lending`: where
  /// rays for other devices go, `lent_at_once` of them at first. `busy`: the device has other keyframes to do meanwhile. Throws
  /// as ray_lane::add().
  void begin_rays(const take_request& what, lending_pool<Device>& lending, size_t lent_at_once, bool busy) {
    at = what.times ? &timed : &untimed;
    bring = {};
    rays.work().fill(status.data(), sizeof(keyframe_status), 0);
    given = what.body ? std::nullopt : std::optional(what.handed ? what.handed->size() : what.rays.rays->size());
    const size_t most = given.value_or(what.body ? what.body->size() : 0);
    rays.check_size(most);
    walks.ensure(most);
    lent = nullptr;
    if (const uint32_t others = what.hand_on ? what.share.count - 1 : 0; others != 0) {
      most_lent = static_cast<uint32_t>(most);
      lent = lending.take(most * others, lent_at_once);
    }
    const auto copied = bring_rays(what, busy, what.times ? &at->begun : nullptr, what.times ? &at->uploaded : nullptr);
    report.copies = copied.copies;
    report.bytes_up = copied.bytes;
    bring_only(what.only);
  }

  [[nodiscard]] touch_list touch_room() const { return {walks.data(), touches.data(), static_cast<uint32_t>(touches.size())}; }
  [[nodiscard]] hand_over lists_for_others() const { return {lent ? lent->data() : nullptr, most_lent, on_device()->handed}; }

  [[nodiscard]] chosen_regions chosen(const take_request& what) const {
    return {only.data(), static_cast<uint32_t>(what.only.size()), what.share.index, what.share.count, what.share.lost};
  }

  /// Gives each of the other devices its rays, of those that are not lost; `owner` is this one. The status must have come down.
  void hand_on(Device& owner) {
    const region_share& share = asked.what.share;
    const hand_over lists = lists_for_others();
    std::vector<std::shared_ptr<const handed_rays>> out(share.count);
    for (uint32_t other = 0; other < share.count; ++other)
      if (other != share.index && (share.lost >> other & 1) == 0)
        out[other]
          = std::make_shared<lent_rays<Device>>(owner, lent, lists.list_for(other, share.index), on_host().handed[other]);
    lent = nullptr;
    asked.what.hand_on(std::move(out));
  }

  void read_times() {
    report.upload_ms = timed.uploaded.ms_since(timed.begun);
    report.rays_ms = timed.split.ms_since(timed.uploaded);
    report.integrate_ms = timed.integrated.ms_since(timed.split);
    report.extract_ms = timed.all_done.ms_since(timed.integrated);
  }

private:
  typename ray_lane<Device>::copied_bytes bring_rays(const take_request& what, bool busy, mark* begun, mark* uploaded) {
    if (what.body) {
      const auto* locked = dynamic_cast<const page_locked_body*>(what.body.get());
      return rays.add(*what.body, what.world_from_camera, &on_device()->totals,
                      {locked != nullptr && locked->page_locked(), busy, begun, uploaded});
    }
    if (!what.handed)
      return rays.give(*what.rays.rays, begun, uploaded);
    const auto& from = dynamic_cast<const lent_rays<Device>&>(*what.handed); // take() has seen to it
    if (!rays.work().reaches(from.owner()))
      return rays.fetch(from.owner(), from.rays(), begun, uploaded);
    bring = {from.rays().data(), rays.room_for(from.size(), begun, uploaded)};
    return {};
  }
  void bring_only(const std::vector<region_key>& regions) {
    if (regions.empty())
      return;
    only.ensure(regions.size());
    only_up.ensure(regions.size());
    std::transform(regions.begin(), regions.end(), only_up.data(),
                   [](region_key key) { return region_name(key.x, key.y, key.z); });
    std::sort(only_up.data(), only_up.data() + regions.size());
    rays.work().upload(only.data(), only_up.data(), regions.size() * sizeof(uint64_t));
    ++report.copies;
    report.bytes_up += regions.size() * sizeof(uint64_t);
  }
};

} // namespace tessera::cuda
