// Snapshots of regions' fields: taken of what has not changed for a while, and used when the service starts again, in place of
// the rays of all keyframes that are in them. docs/journal.md, "Snapshots".

#include "actors/map/device_error.hpp"
#include "actors/map/partitioner_class.hpp"

#include <algorithm>
#include <limits>

namespace tessera::detail {

namespace {

/// How often it is looked which regions have been left alone; and when there are more of them than were taken at once.
constexpr std::chrono::milliseconds between_looks{1'000}, between_snapshots{100};
/// Regions whose fields are fetched from devices at once.
constexpr size_t most_snapshots = 4;

} // namespace

// -- at the start --------------------------------------------------------------------

void partitioner::enter_kept(std::vector<keyframe_id>& ids) {
  std::unordered_map<keyframe_id, kept_keyframe> all;
  for (auto& one : store_.take_kept()) {
    auto id = one.frame.id;
    if (one.frame.reach.known())
      all.emplace(std::move(id), std::move(one));
  }
  std::erase_if(ids, [&](const keyframe_id& id) {
    const auto i = all.find(id);
    if (i == all.end())
      return false;
    auto& [frame, rays] = i->second;
    kept_.enter_kept(id, rays, frame.received_ns);
    if (kept_.due(moment()) == id) { // it goes before it is anywhere
      kept_.leave(id);
      return false;
    }
    live_.enter(id, {frame.timestamp_ns, frame.received_ns, rays, frame.came_with, frame.source, frame.group, frame.revision,
                     frame.admission, true});
    insert(id, frame.world_from_camera, std::move(frame.reach.regions), frame.reach.stamp);
    newest_kept_ = position_of(frame.world_from_camera);
    return true;
  });
  for (const auto& [region, its] : regions_)
    book_.start(region, {its.insertions.begin(), its.insertions.end()});
}

void partitioner::find_snapshots() {
  if (!config_.snapshots)
    return;
  for (const auto& head : config_.snapshots->take_kept()) {
    std::unordered_map<uint64_t, uint64_t> in_it; // serials by stamps
    if (const auto* its = regions_.find(head.region); its != nullptr)
      for (const auto serial : its->insertions)
        in_it.emplace(live_.inserted(serial).stamp, serial);
    std::vector<uint64_t> serials;
    for (const auto stamp : head.stamps)
      if (const auto i = in_it.find(stamp); i != in_it.end())
        serials.push_back(i->second);
    if (serials.empty() || serials.size() != head.stamps.size()) {
      config_.snapshots->erase(head.region); // it has what is there no more
      continue;
    }
    book_.hold(head.region);
    snapshots_.emplace(head.region, std::move(serials));
    to_fetch_.insert(head.region);
  }
  count_snapshots();
  fetch_snapshots();
}

void partitioner::prefer_regions(const std::vector<view_board::position>& near_to) {
  const auto edge = static_cast<double>(config_.map.voxel_m) * config_.map.region_voxels;
  std::vector<std::pair<double, region_key>> order;
  for (const auto& region : book_.regions()) {
    auto least = std::numeric_limits<double>::infinity();
    for (const auto& at : near_to) {
      double squared = 0;
      const std::array<int32_t, 3> its{region.x, region.y, region.z};
      for (size_t axis = 0; axis < 3; ++axis) {
        const auto by = (its[axis] + 0.5) * edge - static_cast<double>(at[axis]);
        squared += by * by;
      }
      least = std::min(least, squared);
    }
    order.emplace_back(least, region);
  }
  std::sort(order.begin(), order.end());
  regions_first_.clear();
  for (const auto& [distance, region] : order)
    regions_first_.push_back(region);
  book_.prefer(regions_first_);
}

void partitioner::fetch_snapshots() {
  while (!to_fetch_.empty() && fetching_ + images_.size() < config_.refill_credit) {
    const auto first = std::find_if(regions_first_.begin(), regions_first_.end(),
                                    [this](const region_key& region) { return to_fetch_.contains(region); });
    const auto region = first != regions_first_.end() ? *first : *to_fetch_.begin();
    to_fetch_.erase(region);
    ++fetching_;
    config_.snapshots->read(region, [region, self = caf::weak_actor_ptr{ctrl()}](shared_image image) {
      if (const auto alive = self.lock())
        caf::anon_send(caf::actor_cast<caf::actor>(alive), snapshot_atom::value, region, std::move(image));
    });
  }
}

void partitioner::fetched(const region_key& region, const shared_image& image) {
  --fetching_;
  if (image)
    images_.emplace_back(region, image);
  else
    unused(region);
  send_takes();
  fetch_snapshots();
}

void partitioner::unused(const region_key& region) {
  snapshots_.erase(region);
  book_.release(region);
  refill_later(std::chrono::milliseconds{0});
}

void partitioner::send_images() {
  while (!images_.empty() && !fresh_ && with_others_.empty() && takes_.may_begin()) {
    const auto [region, image] = std::move(images_.front());
    images_.pop_front();
    if (book_.take_all(region, snapshots_.at(region), [this](uint64_t its) { return live_.stays(its); })) {
      add_image(region, image);
    } else { // something of it went or moved meanwhile
      config_.snapshots->erase(region);
      unused(region);
    }
  }
}

void partitioner::add_image(const region_key& region, const shared_image& image) {
  takes_.begin();
  request(devices_.owner(region)->handle, caf::infinite, import_atom::value, region, image)
    .then([this](const region_key& its) { image_added(its, {}); }, [this, region](caf::error& err) { image_added(region, err); });
}

void partitioner::image_added(const region_key& region, const caf::error& failure) {
  const auto serials = snapshots_.extract(region).mapped();
  book_.all_taken(region, serials, !failure);
  book_.release(region);
  if (!failure)
    numbers().snapshots_used.fetch_add(1, std::memory_order_relaxed);
  else if (!is_device_loss(failure))
    record().set_error("the snapshot of a region cannot be used: " + describe(failure));
  for (const auto serial : serials)
    refill_done(serial);
  if (!failure && !book_.complete(region))
    touch({region}, 0, 0);
  end_refill(region);
  takes_.end();
  go_on();
  fetch_snapshots();
  refill_later(std::chrono::milliseconds{0});
}

// -- meanwhile ------------------------------------------------------------------------

void partitioner::note_changed(const region_key& region) {
  if (!config_.snapshots)
    return;
  due_.changed(region, now());
  snapshot_later();
}

void partitioner::snapshot_later() {
  if (!std::exchange(snapshot_tick_, true))
    delayed_send(partitioner_self{this}, due_.any_left() ? between_snapshots : between_looks, snapshot_atom::value);
}

void partitioner::take_snapshots() {
  snapshot_tick_ = false;
  auto& kept = *config_.snapshots;
  for (const auto& region : kept.take_failed())
    due_.changed(region, now());
  if (made_again_ && exporting_ == 0 && kept.ready())
    if (const auto due = due_.take_due(now(), config_.snapshot_after, config_.latest_snapshot, most_snapshots); !due.empty()) {
      ++exporting_;
      when_quiet([this, due] { // what is entered of a region is what is in its field
        --exporting_;
        for (const auto& region : due)
          take_snapshot(region);
      });
    }
  count_snapshots();
  if (!due_.empty() || exporting_ > 0 || !kept.idle())
    snapshot_later();
}

void partitioner::count_snapshots() {
  const auto its = config_.snapshots->usage();
  auto& n = numbers();
  n.snapshots.store(static_cast<int64_t>(its.regions), std::memory_order_relaxed);
  n.snapshot_bytes.store(static_cast<int64_t>(its.bytes), std::memory_order_relaxed);
  n.oldest_snapshot_ns.store(static_cast<int64_t>(its.oldest_ns), std::memory_order_relaxed);
  n.snapshots_written.store(its.written, std::memory_order_relaxed);
  n.snapshots_failed.store(its.failed, std::memory_order_relaxed);
}

void partitioner::take_snapshot(const region_key& region) {
  const auto* its = regions_.find(region);
  if (its == nullptr || its->insertions.empty())
    return config_.snapshots->erase(region);
  if (lacks_something(region))
    return note_changed(region);
  std::vector<uint64_t> stamps;
  for (const auto serial : its->insertions)
    stamps.push_back(live_.inserted(serial).stamp);
  std::sort(stamps.begin(), stamps.end());
  if (config_.snapshots->holds(region, stamps))
    return;
  ++exporting_;
  request(devices_.owner(region)->handle, caf::infinite, export_atom::value, region)
    .then(
      [this, region, stamps](const shared_image& image) {
        --exporting_;
        config_.snapshots->write(region, stamps, std::move(*image));
      },
      [this, region](const caf::error&) { // its device is no more, or has no memory now
        --exporting_;
        note_changed(region);
      });
}

} // namespace tessera::detail
