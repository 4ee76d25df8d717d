#pragma once

#include "gpu/cuda/field_kernels.hpp"
#include "gpu/cuda/mesh_batch.hpp"
#include "gpu/cuda/ray_lane.hpp"

#include <deque>
#include <optional>

namespace tessera::cuda {

/// A keyframe's points in pinned memory.
template <device_like Device>
class pinned_body final : public keyframe_body {
public:
  pinned_body(Device& device, const keyframe_body& from)
    : points_(device, from.points().size()), colours_(device, from.colours().size()),
      confidence_(device, from.confidence().size()), size_(from.size()), channels_(from.channels()),
      has_confidence_(!from.confidence().empty()) {
    std::copy(from.points().begin(), from.points().end(), points_.data());
    std::copy(from.colours().begin(), from.colours().end(), colours_.data());
    std::copy(from.confidence().begin(), from.confidence().end(), confidence_.data());
  }
  [[nodiscard]] std::span<const float> points() const override { return {points_.data(), 3 * size_}; }
  [[nodiscard]] std::span<const uint8_t> colours() const override { return {colours_.data(), channels_ * size_}; }
  [[nodiscard]] uint32_t channels() const override { return channels_; }
  [[nodiscard]] std::span<const float> confidence() const override { return {confidence_.data(), has_confidence_ ? size_ : 0}; }

private:
  pinned_buffer<Device, float> points_;
  pinned_buffer<Device, uint8_t> colours_;
  pinned_buffer<Device, float> confidence_;
  size_t size_;
  uint32_t channels_;
  bool has_confidence_;
};

/// A keyframe that is to be taken whole.
struct fuse_request {
  std::shared_ptr<const keyframe_body> body;
  pose world_from_camera;
  fuse_options options;
  keyframe_device::fused answer;
};

/// Item: a cell that has points. Makes its ray, and finds the regions that it touches.
struct make_and_split {
  make_ray make;
  split_rays split;
  TESSERA_HD void operator()(uint64_t i) const {
    make(i);
    split(i);
  }
};

/// Takes keyframes whole: uploads points and makes rays on a stream for each keyframe under way, then integrates and meshes on
/// the stream of the fields, one after another. The host only looks at what came out. Threads: one.
///
/// When a region is not on the device yet, or blocks are wanting, the device leaves the keyframe out of the fields; the host then
/// makes room and has it integrated once more. Those behind it may come before it: the order does not matter.
template <device_like Device>
class keyframe_batch {
public:
  using stream = typename Device::stream;
  keyframe_batch(Device& device, stream& work, const mapping& map, region_store<Device>& store, mesh_batch<Device>& meshes,
                 copy_crew& crew, uint32_t lanes)
    : device_(device), map_(map), any_frame_(make_walk_frame(pose{}.m.data(), map.voxel_m, map.truncation_m)), stream_(work),
      store_(store), meshes_(meshes), touched_by_(device, store.slots()), touches_(device), listed_(device), place_(device) {
    stream_.fill(touched_by_.data(), store.slots() * sizeof(uint32_t), 0);
    for (uint32_t i = 0; i < std::max(1u, lanes); ++i)
      lanes_.push_back(std::make_unique<lane>(device, map, crew, store.slots()));
    for (auto& each : lanes_) {
      // More slots come down than are in use: the download has one size.
      stream_.fill(each->status.data(), each->status.size(), 0);
      idle_.push_back(each.get());
    }
    stream_.wait();
  }

  [[nodiscard]] bool has_room() const { return !idle_.empty(); }
  [[nodiscard]] bool is_idle() const { return under_way_.empty(); }

  /// Begins with a keyframe; there must be room. Throws std::bad_alloc, torn_keyframe or std::invalid_argument if it cannot be
  /// taken: all is as before then.
  void start(fuse_request& request) {
    lane& on = *idle_.back();
    const auto kernels = kernel_count(on);
    on.report = {};
    on.counted = false;
    on.frame = make_walk_frame(request.world_from_camera.m.data(), map_.voxel_m, map_.truncation_m);
    try {
      begin_rays(on, request);
      begin_fields(on, request.options);
    } catch (...) {
      on.rays.abandon();
      throw;
    }
    on.report.kernels = static_cast<uint32_t>(kernel_count(on) - kernels);
    on.request = std::move(request);
    idle_.pop_back();
    under_way_.push_back(&on);
  }

  /// Waits for the keyframe that was begun first, and answers it. Throws if the device failed. `batch` numbers what is done to
  /// regions.
  void finish(uint64_t& batch) {
    lane& on = *under_way_.front();
    std::exception_ptr refusal;
    try {
      on.all_done.wait();
      settle(on, batch);
    } catch (const std::bad_alloc&) {
      refusal = std::current_exception();
    }
    under_way_.pop_front();
    idle_.push_back(&on);
    const fuse_request request = std::move(on.request);
    on.request = {};
    request.answer(refusal ? fuse_report{} : std::move(on.report), refusal);
  }

  /// Answers all that is under way with an error.
  void fail(const std::exception_ptr& why) {
    for (lane* on : under_way_) {
      on->request.answer({}, why);
      on->request = {};
      idle_.push_back(on);
    }
    under_way_.clear();
  }

private:
  static constexpr size_t slots_at_once = 1024; ///< of touched regions, that come down unasked; more are rare

  /// What comes down in one piece.
  struct keyframe_status {
    batch_state state;
    ray_totals totals;
  };
  static_assert(sizeof(keyframe_status) % sizeof(uint64_t) == 0);

  /// What recorded work depends on: where buffers are, which nothing can change but an allocation, and what is asked for.
  struct rest_key {
    uint64_t allocations;
    bool mesh, times;
    bool operator==(const rest_key&) const = default;
  };

  /// A keyframe under way.
  struct lane {
    ray_lane<Device> rays;
    device_buffer<Device, ray_walk> walks;
    device_buffer<Device, uint8_t> status; ///< keyframe_status, and after it the slots of all regions that are touched
    typename Device::mark begun, uploaded, rays_done, integrated, all_done;
    typename Device::recording rest; ///< what is done to the fields once the touches are known
    pinned_buffer<Device, uint8_t> status_down;
    walk_frame frame;
    uint32_t most_touches = 0;        ///< that there was room for
    bool counted = false;             ///< see count()
    std::optional<rest_key> rest_for; ///< what `rest` was recorded for
    std::vector<region_key> touched;
    fuse_request request;
    fuse_report report;
    lane(Device& device, const mapping& map, copy_crew& crew, uint32_t slot_count)
      : rays(device, map, crew), walks(device), status(device, sizeof(keyframe_status) + slot_count * sizeof(uint32_t)),
        begun(device), uploaded(device), rays_done(device), integrated(device), all_done(device), rest(device),
        status_down(device, sizeof(keyframe_status) + slot_count * sizeof(uint32_t)) {}
    [[nodiscard]] keyframe_status* on_device() const { return reinterpret_cast<keyframe_status*>(status.data()); }
    [[nodiscard]] batch_state* state_on_device() const { return &on_device()->state; }
    [[nodiscard]] uint32_t* slots_on_device() const {
      return reinterpret_cast<uint32_t*>(status.data() + sizeof(keyframe_status));
    }
    [[nodiscard]] const ray_totals& totals() const { return reinterpret_cast<keyframe_status*>(status_down.data())->totals; }
    [[nodiscard]] batch_state& state() const { return reinterpret_cast<keyframe_status*>(status_down.data())->state; }
    [[nodiscard]] uint32_t* slots() const { return reinterpret_cast<uint32_t*>(status_down.data() + sizeof(keyframe_status)); }
  };

  [[nodiscard]] uint64_t kernel_count(lane& on) const { return stream_.kernels() + on.rays.work().kernels(); }

  void begin_rays(lane& on, const fuse_request& request) {
    const keyframe_body& body = *request.body;
    on.walks.ensure(body.size());
    const bool pinned = dynamic_cast<const pinned_body<Device>*>(&body) != nullptr;
    const bool times = request.options.times;
    on.rays.work().fill(on.status.data(), sizeof(keyframe_status), 0);
    const auto copied = on.rays.add(body, request.world_from_camera, pinned, &on.on_device()->totals, times ? &on.begun : nullptr,
                                    times ? &on.uploaded : nullptr);
    on.rays.work().set(on.rays_done);
    on.report.copies = copied.copies;
    on.report.bytes_up = copied.bytes;
  }

  /// `again`: the rays are there already.
  void begin_fields(lane& on, const fuse_options& options, bool again = false) {
    make_room_for_touches(std::max(2 * on.rays.points() + 1024, most_touches_));
    if (options.mesh)
      make_room_for_meshes();
    stream_.after(on.rays_done);
    if (++batch_ == 0) {
      stream_.fill(touched_by_.data(), store_.slots() * sizeof(uint32_t), 0);
      batch_ = 1;
    }
    const field_view field = store_.view();
    batch_state* state = on.state_on_device();
    report_download(on);
    on.most_touches = static_cast<uint32_t>(touches_.size());
    const touch_list touches{on.walks.data(), touches_.data(), on.most_touches};
    const split_rays split{field, touches,       on.frame,      on.rays.rays(), touched_by_.data(), batch_, on.slots_on_device(),
                           state, options.share, options.shares};
    const uint32_t* rays = &on.on_device()->totals.cells;
    if (again) {
      stream_.fill(state, sizeof(batch_state), 0);
      stream_.launch_each(rays, 1, split);
    } else {
      stream_.launch_each(rays, 1, make_and_split{on.rays.maker(), split});
    }
    if (const rest_key key{device_.allocations(), options.mesh, options.times}; on.rest_for != key) {
      on.rest_for.reset();
      stream_.record(on.rest, [&] {
        stream_.launch_each(&state->touches, touch_lanes, make_blocks{field, any_frame_, touches, state});
        stream_.launch_each(&state->touches, touch_lanes,
                            add_touches{field, any_frame_, touches, on.rays.rays(), nullptr, state});
        if (options.times)
          stream_.set(on.integrated);
        if (options.mesh)
          mesh_touched(on);
        download_status(on);
      });
      on.rest_for = key;
    }
    stream_.play(on.rest);
    stream_.set(on.all_done);
  }

  [[nodiscard]] size_t status_bytes() const {
    return sizeof(keyframe_status) + std::min<size_t>(slots_at_once, store_.slots()) * sizeof(uint32_t);
  }
  void download_status(lane& on) { stream_.download(on.status_down.data(), on.status.data(), status_bytes()); }
  void report_download(lane& on) const {
    ++on.report.copies;
    on.report.bytes_down += status_bytes();
  }

  /// Buffers that grow are in use by what is under way.
  void make_room_for_touches(size_t touches) {
    if (touches <= touches_.size())
      return;
    drain();
    touches_.ensure(touches);
  }
  void make_room_for_meshes() {
    const size_t blocks = most_blocks_, regions = most_regions_, vertices = most_vertices_, corners = most_corners_;
    if (blocks > meshes_.blocks() || regions > meshes_.regions() || vertices > meshes_.vertices()
        || corners > meshes_.corners()) {
      drain();
      meshes_.make_room(blocks, regions, vertices, corners);
    }
    if (meshes_.regions() * store_.table_size() > place_.size() || meshes_.blocks() > listed_.size()) {
      drain();
      place_.ensure(meshes_.regions() * store_.table_size());
      listed_.ensure(meshes_.blocks());
    }
  }

  void mesh_touched(lane& on) {
    batch_state* state = on.state_on_device();
    const block_list list{on.slots_on_device(), listed_.data(), place_.data(), static_cast<uint32_t>(meshes_.blocks()), state};
    meshes_.mesh_regions(list, &state->regions, meshes_.regions());
  }

  /// Sees what came of a keyframe. If it is not in the fields, makes room and has it done again, by itself. Throws std::bad_alloc
  /// if there is no room.
  void settle(lane& on, uint64_t& batch) {
    const fuse_options options = on.request.options;
    on.report.counts = ray_lane<Device>::counts_of(on.totals(), on.rays.points());
    on.report.rays = on.totals().cells;
    for (;;) {
      count(on, ++batch);
      if (on.state().goes_ahead(on.most_touches))
        break;
      drain();
      for (lane* other : under_way_)
        count(*other, ++batch);
      most_touches_ = std::max<size_t>(most_touches_, on.state().touches);
      make_room_for(on.state(), on.touched, ++batch);
      repeat(on, options);
    }
    on.report.beyond = on.state().beyond;
    if (options.mesh)
      settle_mesh(on);
    on.report.regions = std::move(on.touched);
    if (options.times)
      read_times(on);
    if (options.keep_rays)
      on.report.kept = on.rays.download(on.report.rays);
  }

  /// Tells the store what a keyframe that is done took and touched, before anything else moves.
  void count(lane& on, uint64_t batch) {
    if (std::exchange(on.counted, true))
      return;
    const batch_state& state = on.state();
    if (state.touches != 0)
      store_.set_free_blocks(state.free_left);
    if (state.regions > slots_at_once) {
      stream_.download(on.slots(), on.slots_on_device(), state.regions * sizeof(uint32_t));
      stream_.wait();
    }
    on.touched.clear();
    for (uint32_t i = 0; i < state.regions; ++i) {
      const region_key key = store_.key_of(on.slots()[i]);
      on.touched.push_back(key);
      region_record& region = *store_.find(key);
      store_.touch(region, batch);
      region.changed = true;
      const fuse_options& options = on.request.options;
      store_.foresee_around(key, region, [&options](region_key next) {
        return owner_of(region_name(next.x, next.y, next.z), options.shares) == options.share;
      });
    }
    std::sort(on.touched.begin(), on.touched.end());
  }

  /// Waits for all that is under way, without looking at it.
  void drain() {
    if (!under_way_.empty())
      under_way_.back()->all_done.wait();
  }

  void repeat(lane& on, const fuse_options& options) {
    const auto kernels = stream_.kernels();
    begin_fields(on, options, true);
    on.all_done.wait();
    on.counted = false;
    on.report.kernels += static_cast<uint32_t>(stream_.kernels() - kernels);
    ++on.report.attempts;
  }

  void make_room_for(const batch_state& state, const std::vector<region_key>& touched, uint64_t batch) {
    std::vector<region_key> wanted = touched;
    for (const uint64_t name : state.missing_names)
      if (name != 0)
        wanted.push_back(key_from(name));
    store_.bring(wanted, batch);
    if (state.wanting != 0)
      store_.make_more_room(state.fresh, {wanted.begin(), wanted.end()});
  }
  static region_key key_from(uint64_t name) {
    const auto part = [name](int axis) { return static_cast<int32_t>(name >> 21 * axis & 0x1fffff) - (1 << 20); };
    return {part(0), part(1), part(2)};
  }

  /// Meshes again if there was not enough room.
  void settle_mesh(lane& on) {
    for (;;) {
      const batch_state& state = on.state();
      const bool listed = state.wanted <= meshes_.blocks() && state.regions <= meshes_.regions();
      if (listed && state.vertices <= meshes_.vertices() && state.corners <= meshes_.corners())
        break;
      // Twice what is needed: the next keyframe will want more.
      const auto more = [](size_t& most, size_t needed) { most = needed > most ? 2 * needed : most; };
      more(most_blocks_, state.wanted);
      more(most_regions_, state.regions);
      if (listed) {
        more(most_vertices_, state.vertices);
        more(most_corners_, state.corners);
      }
      mesh_again(on);
    }
    on.report.vertices = on.state().vertices;
    on.report.triangles = on.state().corners / 3;
  }
  void mesh_again(lane& on) {
    drain();
    make_room_for_meshes();
    const auto kernels = stream_.kernels();
    batch_state& state = on.state();
    state.regions = 0;
    for (const region_key key : on.touched) // one that has left since then is not what anybody waits for
      if (const uint32_t slot = store_.slot_of(key); slot != region_record::nowhere)
        on.slots()[state.regions++] = slot;
    state.listed = state.wanted = state.rows = state.vertices = state.corners = 0;
    stream_.upload(on.slots_on_device(), on.slots(), state.regions * sizeof(uint32_t));
    stream_.upload(on.state_on_device(), &state, sizeof(batch_state));
    mesh_touched(on);
    download_status(on);
    report_download(on);
    stream_.set(on.all_done);
    on.all_done.wait();
    on.report.kernels += static_cast<uint32_t>(stream_.kernels() - kernels);
    ++on.report.attempts;
  }

  static void read_times(lane& on) {
    on.report.upload_ms = on.uploaded.ms_since(on.begun);
    on.report.rays_ms = on.rays_done.ms_since(on.uploaded);
    on.report.integrate_ms = on.integrated.ms_since(on.rays_done);
    on.report.extract_ms = on.all_done.ms_since(on.integrated);
  }

  Device& device_;
  mapping map_;
  walk_frame any_frame_; ///< of any pose, for what only asks it what the mapping says
  stream& stream_;
  region_store<Device>& store_;
  mesh_batch<Device>& meshes_;
  std::vector<std::unique_ptr<lane>> lanes_;
  std::vector<lane*> idle_;
  std::deque<lane*> under_way_;
  device_buffer<Device, uint32_t> touched_by_;
  device_buffer<Device, touch> touches_;
  device_buffer<Device, listed_block> listed_;
  device_buffer<Device, uint32_t> place_;
  uint32_t batch_ = 0;
  size_t most_touches_ = 0;
  // Room for meshes. To begin with, what a keyframe touches at 1 cm, or less if the pool is small: growing takes milliseconds.
  size_t most_blocks_ = std::min<size_t>(16384, store_.blocks()), most_regions_ = 256, most_vertices_ = 64 * most_blocks_,
         most_corners_ = 6 * most_vertices_;
};

} // namespace tessera::cuda
