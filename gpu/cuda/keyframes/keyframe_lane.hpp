#pragma once

#include "gpu/cuda/keyframes/asked_keyframe.hpp"
#include "gpu/cuda/keyframes/peer_rays.hpp"
#include "gpu/cuda/keyframes/ray_lane.hpp"
#include "gpu/cuda/keyframes/split_kernels.hpp"
#include "gpu/cuda/mesh/mesh_kernels.hpp"
#include "gpu/fields.hpp"
#include "gpu/host/host_memory.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

namespace tessera::cuda {

/// What comes down in one piece of a keyframe.
struct keyframe_status {
  batch_state state;
  mesh_state mesh; ///< of its group, if it is the last of it
  ray_totals totals;
  uint32_t peer_counts[most_shares]; ///< rays for each of the devices that share the map
};
static_assert(sizeof(keyframe_status) % sizeof(uint64_t) == 0);

template <device_like Device>
using peer_ray_pool = buffer_pool<typename device_peer_rays<Device>::memory, Device>;

/// A keyframe under way, and what a device needs for it.
template <device_like Device>
struct keyframe_lane {
  using mark = typename Device::mark;
  static constexpr size_t slots_at_once = 1024; ///< of touched regions, that come down unasked; more are rare
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
  marks* at = &untimed;                          ///< those of this keyframe
  uint64_t departures = 0;                       ///< regions that had left the device when it was begun
  uint64_t knows_of = 0;                         ///< the last news of regions that its stream comes after
  typename Device::recording integrate_only;     ///< what is done to the fields, once the touches are known
  typename Device::recording integrate_and_mesh; ///< the same and the meshes of a group, by its last keyframe
  std::optional<work_key> integrate_only_for, integrate_and_mesh_for;
  walk_frame frame;
  fetch_ray fetch;             ///< if they are to be read from another device's memory
  std::optional<size_t> given; ///< rays that were made already; none: they are made here
  bool counted = false;        ///< the store knows what it took and touched
  uint32_t group = 0;          ///< of keyframes that are meshed together; 0: it is not meshed
  bool meshes_group = false;   ///< it is the last of its group
  std::vector<region_key> touched;
  std::shared_ptr<typename device_peer_rays<Device>::memory> peer_memory; ///< of the rays for its peers
  uint32_t most_per_peer = 0;                                             ///< to each of them
  device_buffer<Device, uint64_t> only; ///< names of the regions that it is to be written to, ascending
  pinned_buffer<Device, uint64_t> only_up;
  asked_keyframe asked;
  take_report report;
  typename ray_lane<Device>::downloaded_rays downloaded; ///< for the report

  keyframe_lane(Device& device, const map_settings& map, copy_crew& crew, uint32_t slot_count)
    : rays(device, map, crew), walks(device), touches(device), touched_by(device, slot_count),
      status(device, sizeof(keyframe_status) + slot_count * sizeof(uint32_t)), status_down(device, status.size()),
      untimed(device, false), timed(device, true), integrate_only(device), integrate_and_mesh(device), only(device),
      only_up(device) {}
  [[nodiscard]] keyframe_status* on_device() const { return reinterpret_cast<keyframe_status*>(status.data()); }
  [[nodiscard]] batch_state* state_on_device() const { return &on_device()->state; }
  [[nodiscard]] uint32_t* slots_on_device() const { return reinterpret_cast<uint32_t*>(status.data() + sizeof(keyframe_status)); }
  [[nodiscard]] keyframe_status& on_host() const { return *reinterpret_cast<keyframe_status*>(status_down.data()); }
  [[nodiscard]] batch_state& state() const { return on_host().state; }
  [[nodiscard]] mesh_state& mesh() const { return on_host().mesh; }
  [[nodiscard]] uint32_t* slots() const { return reinterpret_cast<uint32_t*>(status_down.data() + sizeof(keyframe_status)); }

  /// What comes down of the status: as many slots as there mostly are; the rest is asked for.
  [[nodiscard]] size_t status_bytes() const {
    return std::min(status.size(), sizeof(keyframe_status) + slots_at_once * sizeof(uint32_t));
  }
  void download_status(typename Device::stream& by) const { by.download(status_down.data(), status.data(), status_bytes()); }

  /// Begins to upload a keyframe's points and to add them to their cells, or to upload its rays. `pool`: where rays for peers
  /// go, `pooled_at_first` of them at first. `busy`: the device has other keyframes to do meanwhile. Throws
  /// as ray_lane::add().
  void begin_rays(const take_request& what, peer_ray_pool<Device>& pool, size_t pooled_at_first, bool busy) {
    at = what.times ? &timed : &untimed;
    fetch = {};
    rays.work().fill(status.data(), sizeof(keyframe_status), 0);
    given = what.body ? std::nullopt : std::optional(what.from_peer ? what.from_peer->size() : what.rays.rays->size());
    const size_t most = given.value_or(what.body ? what.body->size() : 0);
    rays.check_size(most);
    walks.ensure(most);
    peer_memory = nullptr;
    if (const uint32_t others = what.to_peers ? what.share.count - 1 : 0; others != 0) {
      most_per_peer = static_cast<uint32_t>(most);
      peer_memory = pool.take(most * others, pooled_at_first);
    }
    const auto copied = upload_rays(what, busy, what.times ? &at->begun : nullptr, what.times ? &at->uploaded : nullptr);
    report.copies = copied.copies;
    report.bytes_up = copied.bytes;
    upload_only(what.only);
  }

  [[nodiscard]] touch_list touch_room() const { return {walks.data(), touches.data(), static_cast<uint32_t>(touches.size())}; }
  [[nodiscard]] peer_lists lists_for_peers() const {
    return {peer_memory ? peer_memory->data() : nullptr, most_per_peer, on_device()->peer_counts};
  }

  [[nodiscard]] chosen_regions chosen(const take_request& what) const {
    return {only.data(), static_cast<uint32_t>(what.only.size()), what.share.index, what.share.count, what.share.lost};
  }

  /// Gives each of the peers that are not lost its rays; `owner` is this device. The status must have come down.
  void send_to_peers(Device& owner) {
    const region_share& share = asked.what.share;
    const peer_lists lists = lists_for_peers();
    rays_for_peers out(share.count);
    for (uint32_t other = 0; other < share.count; ++other)
      if (other != share.index && (share.lost >> other & 1) == 0)
        out[other] = std::make_shared<device_peer_rays<Device>>(owner, peer_memory, lists.list_for(other, share.index),
                                                                on_host().peer_counts[other]);
    peer_memory = nullptr;
    asked.what.to_peers(std::move(out));
  }

  void read_times() {
    report.upload_ms = timed.uploaded.ms_since(timed.begun);
    report.rays_ms = timed.split.ms_since(timed.uploaded);
    report.integrate_ms = timed.integrated.ms_since(timed.split);
    report.extract_ms = timed.all_done.ms_since(timed.integrated);
  }

private:
  typename ray_lane<Device>::copied_bytes upload_rays(const take_request& what, bool busy, mark* begun, mark* uploaded) {
    if (what.body) {
      const auto* locked = dynamic_cast<const page_locked_body*>(what.body.get());
      return rays.add(*what.body, what.world_from_camera, &on_device()->totals,
                      {locked != nullptr && locked->page_locked(), busy, begun, uploaded});
    }
    if (!what.from_peer)
      return rays.give(*what.rays.rays, begun, uploaded);
    const auto& from = dynamic_cast<const device_peer_rays<Device>&>(*what.from_peer); // take() has seen to it
    if (!rays.work().reaches(from.owner()))
      return rays.fetch(from.owner(), from.rays(), begun, uploaded);
    fetch = {from.rays().data(), rays.room_for(from.size(), begun, uploaded)};
    return {};
  }
  void upload_only(const std::vector<region_key>& regions) {
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
