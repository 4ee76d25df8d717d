#pragma once

#include "gpu/cuda/keyframes/keyframe_lane.hpp"
#include "gpu/cuda/mesh/mesh_batch.hpp"

#include <algorithm>
#include <set>
#include <vector>

namespace tessera::cuda {

/// Keyframes that come close together are a group: the regions that they change are noted on the device, and meshed once, after
/// the last of them. Threads: one.
///
/// What takes a `Drain` calls it before buffers grow that are in use by what is under way: it waits for all of that.
template <device_like Device>
class group_mesh {
public:
  using stream = typename Device::stream;
  using lane = keyframe_lane<Device>;
  group_mesh(Device& device, stream& work, region_store<Device>& store, mesh_batch<Device>& meshes)
    : stream_(work), store_(store), meshes_(meshes), noted_(device, store.slots()), changed_slots_(device, store.slots()),
      changed_count_(device, 1), listed_(device), place_(device) {
    stream_.fill(noted_.data(), store_.slots() * sizeof(uint32_t), 0);
    stream_.fill(changed_count_.data(), sizeof(uint32_t), 0);
  }

  /// A keyframe that is to be meshed joins the group that is being gathered. The last of a group is one that none follows, or
  /// with which it is full.
  void join(lane& on, bool mesh, bool more) {
    on.group = 0;
    on.meshes_group = false;
    if (!mesh)
      return;
    if (gathered_ == 0)
      group_ = group_ + 1 == 0 ? 1 : group_ + 1;
    on.group = group_;
    on.meshes_group = !more || gathered_ + 1 >= most_together;
  }
  /// One that has joined is under way.
  void note_begun(const lane& on) {
    if (on.group != 0)
      gathered_ = on.meshes_group ? 0 : gathered_ + 1;
  }
  /// No more keyframes come to the group that is being gathered.
  void end() { gathered_ = 0; }
  /// A keyframe is to be integrated again, by itself: the mesh of its group, and of the one that is being gathered, will not have
  /// all of it. The host has them made again.
  void note_outdated(const lane& on) { outdated_.insert({on.group, gathered_ != 0 ? group_ : 0}); }

  /// Where kernels note the regions that they change.
  [[nodiscard]] changed_regions changed(bool note) const {
    return {noted_.data(), changed_slots_.data(), note ? changed_count_.data() : nullptr};
  }
  /// Makes room for the mesh of a group. Throws std::bad_alloc.
  template <class Drain>
  void make_room(Drain drain) {
    if (most_blocks_ > meshes_.blocks() || most_regions_ > meshes_.regions() || most_vertices_ > meshes_.vertices()
        || most_corners_ > meshes_.corners()) {
      drain();
      meshes_.make_room(most_blocks_, most_regions_, most_vertices_, most_corners_);
    }
    if (meshes_.regions() * store_.table_size() > place_.size() || meshes_.blocks() > listed_.size()) {
      drain();
      place_.ensure(meshes_.regions() * store_.table_size());
      listed_.ensure(meshes_.blocks());
    }
  }
  /// Meshes what was noted, and has the status come down; `on` is the last of the group.
  void mesh_changed(lane& on) {
    mesh_regions(on, changed_slots_.data(), changed_count_.data(), noted_.data());
    stream_.fill(changed_count_.data(), sizeof(uint32_t), 0);
    on.download_status(stream_);
  }
  /// Likewise in a lane that is idle: the last of the group could not be begun. Waits.
  template <class Drain>
  void mesh_left_over(lane& on, Drain drain) {
    on.group = group_;
    end();
    make_room(drain);
    stream_.fill(on.status.data(), sizeof(keyframe_status), 0);
    mesh_changed(on);
    stream_.wait();
  }
  /// Sees that the mesh of a group has come out whole, of which `on` was the last keyframe and which changed `regions`: makes it
  /// again if there was not enough room, or if it is outdated. Returns how often. Throws std::bad_alloc.
  template <class Drain>
  uint32_t complete(lane& on, const std::vector<region_key>& regions, Drain drain) {
    uint32_t again = 0;
    const auto mesh_again = [&] {
      this->mesh_again(on, regions, drain);
      ++again;
    };
    if (outdated_.erase(on.group) != 0)
      mesh_again();
    for (;;) {
      const mesh_state& state = on.mesh();
      const bool listed = state.list.wanted <= meshes_.blocks() && regions.size() <= meshes_.regions();
      if (listed && state.vertices <= meshes_.vertices() && state.corners <= meshes_.corners())
        return again;
      // Twice what is needed: the next keyframe will want more.
      const auto more = [](size_t& most, size_t needed) { most = needed > most ? 2 * needed : most; };
      more(most_blocks_, state.list.wanted);
      more(most_regions_, regions.size());
      if (listed) {
        more(most_vertices_, state.vertices);
        more(most_corners_, state.corners);
      }
      mesh_again();
    }
  }

private:
  static constexpr uint32_t most_together = 8; ///< keyframes of a group

  void mesh_regions(lane& on, const uint32_t* slots, const uint32_t* count, uint32_t* noted = nullptr) {
    const block_list list{slots, listed_.data(), place_.data(), static_cast<uint32_t>(meshes_.blocks()), nullptr};
    meshes_.mesh_regions(list, &on.on_device()->mesh, count, meshes_.regions(), noted);
  }
  /// Waits for the mesh. What the keyframe's own status says besides is lost.
  template <class Drain>
  void mesh_again(lane& on, const std::vector<region_key>& regions, Drain drain) {
    drain();
    make_room(drain);
    on.on_host() = {};
    uint32_t& count = on.state().regions;
    for (const region_key key : regions) // one that has left since then is not what anybody waits for
      if (const uint32_t slot = store_.slot_of(key); slot != region_record::nowhere)
        on.slots()[count++] = slot;
    stream_.upload(on.status.data(), on.status_down.data(), sizeof(keyframe_status) + count * sizeof(uint32_t));
    mesh_regions(on, on.slots_on_device(), &on.state_on_device()->regions);
    on.download_status(stream_);
    stream_.set(on.at->all_done);
    on.at->all_done.wait();
  }

  stream& stream_;
  region_store<Device>& store_;
  mesh_batch<Device>& meshes_;
  uint32_t group_ = 0;                                                    ///< that is being gathered, or was last
  uint32_t gathered_ = 0;                                                 ///< keyframes of it; 0: none is being gathered
  std::set<uint32_t> outdated_;                                           ///< groups of which the mesh on the device is not all
  device_buffer<Device, uint32_t> noted_, changed_slots_, changed_count_; ///< changed_regions
  device_buffer<Device, listed_block> listed_;
  device_buffer<Device, uint32_t> place_;
  // Room for meshes. To begin with, what a keyframe touches at 1 cm, or less if the pool is small: growing takes milliseconds.
  size_t most_blocks_ = std::min<size_t>(16384, store_.blocks()), most_regions_ = 256, most_vertices_ = 64 * most_blocks_,
         most_corners_ = 6 * most_vertices_;
};

} // namespace tessera::cuda
