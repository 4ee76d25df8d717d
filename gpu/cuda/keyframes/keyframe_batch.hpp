#pragma once

#include "gpu/bounds.hpp"
#include "gpu/cuda/keyframes/group_mesh.hpp"
#include "gpu/cuda/keyframes/keyframe_lane.hpp"
#include "gpu/cuda/keyframes/split_kernels.hpp"
#include "gpu/cuda/keyframes/take_answers.hpp"

#include <algorithm>
#include <deque>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <utility>

namespace tessera::cuda {

/// Takes keyframes whole: uploads points and makes rays on a stream for each keyframe under way, then integrates on the stream of
/// the fields, one after another. Keyframes that come close together are a group: the regions that they touch are meshed once,
/// after the last of them. The host only looks at what came out. Threads: one.
///
/// When a region is not on the device yet, or blocks are wanting, the device leaves the keyframe out of the fields; the host then
/// makes room and has it integrated once more. Those behind it may come before it: the order does not matter.
template <device_like Device>
class keyframe_batch {
public:
  using stream = typename Device::stream;
  using lane = keyframe_lane<Device>;
  keyframe_batch(Device& device, stream& work, const map_settings& map, region_store<Device>& store, mesh_batch<Device>& meshes,
                 copy_crew& crew, uint32_t lanes)
    : device_(device), map_(map), any_frame_(make_walk_frame(pose{}.m.data(), map.voxel_m, map.truncation_m)), stream_(work),
      store_(store), group_(device, work, store, meshes), published_(device), peer_ray_pool_(device) {
    (void)store_.view();
    stream_.set(published_);
    for (uint32_t i = 0; i < std::max(1u, lanes); ++i)
      lanes_.push_back(std::make_unique<lane>(device, map, crew, store.slots()));
    for (auto& each : lanes_) {
      // More slots come down than are in use: the download has one size.
      stream_.fill(each->status.data(), each->status.size(), 0);
      stream_.fill(each->touched_by.data(), each->touched_by.size() * sizeof(uint32_t), 0);
      idle_.push_back(each.get());
    }
    stream_.wait();
  }

  [[nodiscard]] bool has_room() const { return !idle_.empty(); }
  [[nodiscard]] bool is_idle() const { return under_way_.empty() && integrated_.empty(); }

  /// Begins with a keyframe; there must be room. `more`: another one that is to be meshed follows at once, so that the mesh can
  /// wait for it. `busy`: others wait. Throws std::bad_alloc, torn_keyframe or std::invalid_argument if it cannot be taken: all
  /// is as before then.
  void start(asked_keyframe& asked, bool more, bool busy) {
    lane& on = *idle_.back();
    busy_ = busy || !under_way_.empty();
    const take_request& what = asked.what;
    const auto kernels = kernel_count(on);
    on.report = {};
    on.counted = false;
    on.frame = make_walk_frame(what.world_from_camera.m.data(), map_.voxel_m, map_.truncation_m);
    try {
      on.begin_rays(what, peer_ray_pool_, 2 * lanes_.size(), busy_);
      begin_split(on, what);
      group_.join(on, what.mesh, more);
      begin_fields(on, what);
    } catch (...) {
      on.rays.abandon();
      throw;
    }
    group_.note_begun(on);
    on.report.kernels = static_cast<uint32_t>(kernel_count(on) - kernels);
    on.asked = std::move(asked);
    idle_.pop_back();
    under_way_.push_back(&on);
  }

  /// Whether the keyframe that was begun first is done, so that finish() need not wait.
  [[nodiscard]] bool first_is_done() const { return under_way_.empty() || under_way_.front()->at->all_done.reached(); }

  /// Waits for the keyframe that was begun first, and answers it, or all of its group if it was the last of it. Throws if the
  /// device failed. `batch` numbers what is done to regions.
  void finish(uint64_t& batch) {
    if (under_way_.empty())
      return mesh_left_over();
    lane& on = *under_way_.front();
    std::exception_ptr refusal;
    try {
      on.at->all_done.wait();
      complete_keyframe(on, batch);
    } catch (const std::bad_alloc&) {
      refusal = std::current_exception();
    } catch (const keyframe_too_large&) {
      refusal = std::current_exception();
    }
    under_way_.pop_front();
    idle_.push_back(&on);
    taken_keyframe<Device> done{std::move(on.asked), std::move(on.report), std::exchange(on.downloaded, {})};
    on.asked = {};
    done.asked.what.from_peer.reset(); // so that their memory can be used again
    if (refusal)
      done.asked.answer({}, refusal);
    else if (on.group == 0)
      answer(std::move(done));
    else
      integrated_.push_back(std::move(done));
    if (on.meshes_group)
      complete_group(on);
  }

  /// Answers all that is under way with an error.
  void fail(const std::exception_ptr& why) {
    answer_integrated(why);
    for (lane* on : under_way_) {
      on->asked.what.from_peer.reset(); // before the answer, as finish() does
      on->asked.answer({}, why);
      on->asked = {};
      idle_.push_back(on);
    }
    under_way_.clear();
    group_.end();
  }

private:
  /// At once if it is alone; else in another thread, since there may be rays to copy.
  void answer(taken_keyframe<Device> done) {
    if (busy_ && done.downloaded.count != 0)
      answers_.add(std::move(done));
    else
      done.answer();
  }

  [[nodiscard]] uint64_t kernel_count(lane& on) const { return stream_.kernels() + on.rays.work().kernels(); }

  /// Finds the regions that the rays touch, on the stream of the rays, so that it is done while others are integrated. `again`:
  /// the rays were made, and those of peers sent, before.
  void begin_split(lane& on, const take_request& what, bool again = false) {
    on.touches.ensure(std::max(2 * on.given.value_or(on.rays.points()) + 1024, most_touches_));
    stream& work = on.rays.work();
    // Updates of the directory come after the work that is queued already, and before any later lookup.
    on.departures = store_.departures();
    const bool news = store_.has_news();
    const field_view field = store_.view();
    if (news) {
      stream_.set(published_);
      ++news_;
    }
    if (std::exchange(on.knows_of, news_) != news_)
      work.after(published_);
    if (++on.keyframe_number == 0) {
      work.fill(on.touched_by.data(), on.touched_by.size() * sizeof(uint32_t), 0);
      on.keyframe_number = 1;
    }
    batch_state* state = on.state_on_device();
    const split_rays split{field,
                           on.touch_room(),
                           on.frame,
                           on.rays.rays(),
                           on.touched_by.data(),
                           on.keyframe_number,
                           on.slots_on_device(),
                           again ? peer_lists{} : on.lists_for_peers(),
                           state,
                           on.chosen(what),
                           what.sign < 0 ? taken_away : 0};
    const uint32_t* rays = &on.on_device()->totals.cells;
    if (again)
      work.fill(state, sizeof(batch_state), 0);
    if (on.given && on.fetch.from != nullptr && !again)
      work.launch(*on.given, fetch_and_split{on.fetch, split});
    else if (on.given)
      work.launch(*on.given, split);
    else if (again)
      work.launch_each(rays, 1, split);
    else
      work.launch_each(rays, 1, make_and_split{on.rays.maker(), split});
    work.set(on.at->split);
  }

  /// Integrates, and has the group meshed if the keyframe is the last of it. `again`: the host sees to the mesh.
  void begin_fields(lane& on, const take_request& what, bool again = false) {
    stream_.after(on.at->split);
    ++on.report.copies;
    on.report.bytes_down += on.status_bytes();
    const auto integrate_it = [&] { integrate(on, on.group != 0 && !again); };
    if (on.meshes_group && !again) {
      group_.make_room(drained());
      play(on.integrate_and_mesh, on.integrate_and_mesh_for, {device_.allocations(), what.times, true}, [&] {
        integrate_it();
        if (what.times)
          stream_.set(on.at->integrated);
        group_.mesh_changed(on);
      });
      stream_.set(on.at->all_done);
      return;
    }
    if (again)
      integrate_it();
    else
      play(on.integrate_only, on.integrate_only_for, {device_.allocations(), false, on.group != 0}, integrate_it);
    stream_.set(on.at->integrated);
    if (what.body && what.keep_rays && !again) {
      const auto down = on.rays.download_ahead(); // while others are integrated
      on.report.copies += down.copies;
      on.report.bytes_down += down.bytes;
    }
    on.rays.work().after(on.at->integrated); // the next keyframe need not wait for this one's download
    on.download_status(on.rays.work());
    on.rays.work().set(on.at->all_done);
  }
  /// Work that is the same for each keyframe of a lane: recorded if that was not done, or buffers moved since.
  template <class Work>
  void play(typename Device::recording& recording, std::optional<typename lane::work_key>& made_for,
            const typename lane::work_key& key, Work work) {
    if (made_for != key) {
      made_for.reset();
      stream_.record(recording, work);
      made_for = key;
    }
    stream_.play(recording);
  }
  /// `note`: the regions that change are to be meshed.
  void integrate(lane& on, bool note) {
    const field_view field = store_.view();
    batch_state* state = on.state_on_device();
    const touch_list touches = on.touch_room();
    stream_.launch_each(&state->touches, touch_lanes, make_blocks{field, any_frame_, touches, state});
    stream_.launch_each(
      &state->touches, touch_lanes,
      add_touches{field, any_frame_, touches, on.rays.rays(), state, group_.changed(note), on.slots_on_device()});
  }

  /// Sees what came of a keyframe. If it is not in the fields, makes room and has it done again, by itself. Throws std::bad_alloc
  /// if there is no room, keyframe_too_large if it touches more regions than it may.
  void complete_keyframe(lane& on, uint64_t& batch) {
    const take_request& what = on.asked.what;
    on.report.counts = ray_lane<Device>::counts_of(on.on_host().totals, on.rays.points());
    on.report.rays = what.body ? on.on_host().totals.cells : what.from_peer ? 0 : *on.given;
    for (;;) {
      count(on, ++batch);
      if (on.state().goes_ahead(static_cast<uint32_t>(on.touches.size())))
        break;
      drain();
      for (lane* other : under_way_)
        count(*other, ++batch);
      most_touches_ = std::max<size_t>(most_touches_, on.state().touches);
      group_.note_outdated(on);
      const auto& missing = on.state().missing_names; // some of them, if there are many
      const auto regions
        = on.touched.size()
          + static_cast<size_t>(std::count_if(std::begin(missing), std::end(missing), [](uint64_t name) { return name != 0; }));
      if (regions > most_keyframe_regions)
        throw keyframe_too_large(map_, regions, on.state().missing != 0);
      make_room_for(on, ++batch);
      repeat(on);
    }
    on.report.beyond = on.state().beyond;
    on.report.regions = std::move(on.touched);
    if (what.times)
      on.read_times();
    if (what.keep_rays)
      keep_rays(on);
    if (what.to_peers)
      on.send_to_peers(device_);
  }

  /// Puts the rays into the report of a keyframe that is in the fields. Takes it out again if there is no room for them.
  void keep_rays(lane& on) {
    take_request& what = on.asked.what;
    try {
      if (what.body) {
        on.report.kept.reserve(on.report.rays);
        on.downloaded = on.rays.download(on.report.rays);
      } else if (!what.from_peer)
        on.report.kept = *what.rays.rays;
    } catch (const std::bad_alloc&) {
      on.report.kept = {};
      group_.note_outdated(on);
      what.sign = -what.sign;
      repeat(on); // cannot fail: all regions and blocks are there
      throw;
    }
  }

  /// Tells the store what a keyframe that is done took and touched, before anything else moves.
  void count(lane& on, uint64_t batch) {
    if (std::exchange(on.counted, true))
      return;
    const batch_state& state = on.state();
    if (state.touches != 0)
      store_.set_free_blocks(state.free_left);
    if (state.regions > lane::slots_at_once) {
      stream_.download(on.slots(), on.slots_on_device(), state.regions * sizeof(uint32_t));
      stream_.wait();
    }
    on.touched.clear();
    for (uint32_t i = 0; i < state.regions; ++i) {
      const region_key key = store_.key_of(on.slots()[i]);
      on.touched.push_back(key);
      region_record& region = *store_.find(key);
      store_.touch(region, batch);
      store_.note_change(region);
      store_.preallocate_around(key, region, [&share = on.asked.what.share](region_key next) {
        return owner_of(next.x, next.y, next.z, share.count, share.lost) == share.index;
      });
    }
    std::sort(on.touched.begin(), on.touched.end());
  }

  /// Waits for all that is under way, without looking at it.
  void drain() {
    for (lane* on : under_way_)
      on->at->all_done.wait();
  }
  [[nodiscard]] auto drained() {
    return [this] { drain(); };
  }

  void repeat(lane& on) {
    const auto kernels = kernel_count(on);
    begin_split(on, on.asked.what, true);
    begin_fields(on, on.asked.what, true);
    on.at->all_done.wait();
    on.counted = false;
    on.report.kernels += static_cast<uint32_t>(kernel_count(on) - kernels);
    ++on.report.attempts;
  }

  void make_room_for(const lane& on, uint64_t batch) {
    const batch_state& state = on.state();
    std::vector<region_key> wanted = on.touched;
    for (const uint64_t name : state.missing_names)
      if (name != 0)
        wanted.push_back(key_from(name));
    store_.page_in(wanted, batch);
    if (state.wanting != 0) // at the time: those before it in the queue may have made room since
      store_.make_more_room(state.fresh, {wanted.begin(), wanted.end()}, store_.departures() != on.departures);
  }
  static region_key key_from(uint64_t name) {
    const auto part = [name](int axis) { return static_cast<int32_t>(name >> 21 * axis & 0x1fffff) - (1 << 20); };
    return {part(0), part(1), part(2)};
  }

  /// Sees to the mesh of a group, of which this keyframe was the last, and answers all of it.
  void complete_group(lane& on) {
    std::exception_ptr refusal;
    try {
      const uint32_t again = group_.complete(on, touched_by_group(), drained());
      if (!integrated_.empty()) {
        take_report& last = integrated_.back().report;
        last.meshed = static_cast<uint32_t>(integrated_.size());
        last.vertices = on.mesh().vertices;
        last.triangles = on.mesh().corners / 3;
        last.attempts += again;
      }
    } catch (const std::bad_alloc&) {
      refusal = std::current_exception();
    }
    answer_integrated(refusal);
  }
  void answer_integrated(const std::exception_ptr& failure) {
    for (auto& each : std::exchange(integrated_, {}))
      if (failure)
        each.asked.answer({}, failure);
      else
        answer(std::move(each));
  }
  /// The last of a group could not be begun.
  void mesh_left_over() {
    lane& on = *idle_.back();
    try {
      group_.mesh_left_over(on, drained());
    } catch (const std::bad_alloc&) {
      return answer_integrated(std::current_exception());
    }
    complete_group(on);
  }
  [[nodiscard]] std::vector<region_key> touched_by_group() const {
    std::vector<region_key> out;
    for (const auto& each : integrated_)
      out.insert(out.end(), each.report.regions.begin(), each.report.regions.end());
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
  }

  Device& device_;
  map_settings map_;
  walk_frame any_frame_; ///< of any pose, for what only asks it what the settings say
  stream& stream_;
  region_store<Device>& store_;
  group_mesh<Device> group_;
  std::vector<std::unique_ptr<lane>> lanes_;
  std::vector<lane*> idle_;
  std::deque<lane*> under_way_;
  std::deque<taken_keyframe<Device>> integrated_; ///< and wait for the mesh of their group
  typename Device::mark published_;               ///< after the last news of regions
  uint64_t news_ = 0;                             ///< so far
  bool busy_ = false;
  peer_ray_pool<Device> peer_ray_pool_;
  size_t most_touches_ = 0;
  take_answers<Device> answers_;
};

} // namespace tessera::cuda
