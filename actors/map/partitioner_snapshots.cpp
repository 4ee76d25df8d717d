// Snapshots of regions' fields: taken of what has not changed for a while, and used when the service starts again, in place of
// the rays of all keyframes that are in them. docs/journal.md, "Snapshots".

#include "actors/map/device_error.hpp"
#include "actors/map/partitioner_class.hpp"
#include "messages/slice.hpp"

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
  for (const auto& region : config_.snapshots->take_kept())
    if (regions_.find(region) != nullptr) {
      book_.hold(region);
      to_fetch_.push_back(region);
    } else {
      config_.snapshots->erase(region); // nothing is in it any more
    }
  count_snapshots();
}

void partitioner::prefer_regions(const std::vector<view_board::position>& near_to) {
  const auto edge = static_cast<double>(config_.map.voxel_m) * config_.map.region_voxels;
  const auto distance = [&](const region_key& region) {
    auto least = std::numeric_limits<double>::infinity();
    for (const auto& at : near_to) {
      double squared = 0;
      for (size_t axis = 0; axis < 3; ++axis) {
        const auto by = (on_axis(region, axis) + 0.5) * edge - static_cast<double>(at[axis]);
        squared += by * by;
      }
      least = std::min(least, squared);
    }
    return least;
  };
  const auto sort = [&](auto& regions) {
    std::vector<std::pair<double, region_key>> order; // each distance once
    for (const auto& region : regions)
      order.emplace_back(distance(region), region);
    std::sort(order.begin(), order.end());
    std::transform(order.begin(), order.end(), regions.begin(), [](const auto& one) { return one.second; });
  };
  auto lacking = book_.regions();
  sort(lacking);
  book_.prefer(lacking);
  sort(to_fetch_);
}

void partitioner::fetch_snapshots() {
  while (!to_fetch_.empty() && fetching_ + snapshots_.size() < config_.refill_credit) {
    const auto region = to_fetch_.front();
    to_fetch_.pop_front();
    ++fetching_;
    config_.snapshots->read(region, [region, self = caf::weak_actor_ptr{ctrl()}](shared_snapshot its) {
      if (const auto alive = self.lock())
        caf::anon_send(caf::actor_cast<caf::actor>(alive), snapshot_atom::value, region, std::move(its));
    });
  }
}

void partitioner::fetched(const region_key& region, const shared_snapshot& its) {
  --fetching_;
  if (its)
    snapshots_.push_back(its);
  else
    unused(region);
  send_takes();
  fetch_snapshots();
}

void partitioner::unused(const region_key& region) {
  book_.release(region);
  refill_later(std::chrono::milliseconds{0});
}

void partitioner::send_images() {
  while (!snapshots_.empty() && !fresh_ && with_others_.empty() && takes_.may_begin()) {
    const auto its = std::move(snapshots_.front());
    snapshots_.pop_front();
    const auto& region = its->head.region;
    const auto serials = live_in(region, its->head.stamps);
    if (serials && book_.take_all(region, *serials, [this](uint64_t one) { return live_.stays(one); })) {
      add_image(region, *serials, std::make_shared<region_image>(std::move(its->image)));
    } else { // it has what is there no more
      config_.snapshots->erase(region);
      unused(region);
    }
  }
}

std::optional<std::vector<uint64_t>> partitioner::live_in(const region_key& region, const std::vector<uint64_t>& stamps) {
  std::unordered_map<uint64_t, uint64_t> in_it; // serials by stamps
  if (const auto* its = regions_.find(region); its != nullptr)
    for (const auto serial : its->insertions)
      in_it.emplace(live_.inserted(serial).stamp, serial);
  std::vector<uint64_t> out;
  for (const auto stamp : stamps)
    if (const auto i = in_it.find(stamp); i != in_it.end())
      out.push_back(i->second);
  return out.empty() || out.size() != stamps.size() ? std::nullopt : std::optional{std::move(out)};
}

void partitioner::add_image(const region_key& region, const std::vector<uint64_t>& serials, const shared_image& image) {
  takes_.begin();
  request(devices_.owner(region)->handle, caf::infinite, import_atom::value, region, image)
    .then([this, serials](const region_key& its) { image_added(its, serials, {}); },
          [this, region, serials](caf::error& err) { image_added(region, serials, err); });
}

void partitioner::image_added(const region_key& region, const std::vector<uint64_t>& serials, const caf::error& failure) {
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
