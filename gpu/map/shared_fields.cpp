#include "gpu/map/shared_fields.hpp"

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

namespace tessera {

/// A keyframe that devices are working on.
struct shared_fields::taking {
  take_request what;
  answer done;
  bool in_turn = false;
  std::mutex mutex;           ///< guards all below
  uint32_t left = 0;          ///< devices that have not answered
  bool sent_to_peers = false; ///< the device that makes the rays has given the others theirs
  std::vector<uint32_t> by;   ///< the devices that took it
  shared_report report;

  void add(take_report&& part) {
    auto& whole = report.whole;
    for (const auto each : {&ray_counts::valid, &ray_counts::not_finite, &ray_counts::out_of_range, &ray_counts::low_confidence,
                            &ray_counts::beyond_map}) // all who made the rays say the same
      whole.counts.*each = std::max(whole.counts.*each, part.counts.*each);
    whole.beyond = std::max(whole.beyond, part.beyond);
    whole.rays = std::max(whole.rays, part.rays);
    if (!part.kept.empty())
      whole.kept = std::move(part.kept);
    whole.regions.insert(whole.regions.end(), part.regions.begin(), part.regions.end());
    whole.vertices += part.vertices;
    whole.triangles += part.triangles;
    for (const auto each : {&take_report::upload_ms, &take_report::rays_ms, &take_report::integrate_ms, &take_report::extract_ms})
      whole.*each = std::max(whole.*each, part.*each);
    whole.kernels += part.kernels;
    whole.copies += part.copies;
    whole.bytes_up += part.bytes_up;
    whole.bytes_down += part.bytes_down;
    whole.attempts = std::max(whole.attempts, part.attempts);
  }
  void end() {
    if (!what.keep_rays)
      report.whole.kept = {};
    std::sort(report.whole.regions.begin(), report.whole.regions.end());
    done(std::move(report));
  }
};

shared_fields::shared_fields(std::vector<std::shared_ptr<async_fields>> devices) : devices_(std::move(devices)) {
  if (devices_.empty() || devices_.size() > most_shares)
    throw std::invalid_argument("a map is shared by 1 to " + std::to_string(most_shares) + " devices, not "
                                + std::to_string(devices_.size()));
}

async_fields& shared_fields::of(region_key region) const {
  return *devices_[owner_of(region, {.count = static_cast<uint32_t>(devices_.size())})];
}

void shared_fields::take(take_request what, bool in_turn, answer done) {
  const auto all = std::make_shared<taking>();
  all->what = std::move(what);
  all->done = std::move(done);
  all->left = static_cast<uint32_t>(devices_.size());
  all->in_turn = in_turn && devices_.size() > 1 && all->what.body != nullptr;
  if (all->in_turn)
    return take_in_turn(all, turn_++ % all->left);
  for (uint32_t i = 0; i < devices_.size(); ++i) {
    auto mine = part(all->what, i);
    // One may find that the points have changed after another has read them as they were: only its rays take them out again.
    mine.keep_rays = all->what.keep_rays || (devices_.size() > 1 && all->what.body != nullptr);
    devices_[i]->take(std::move(mine), [this, all, i](take_report report, const std::exception_ptr& failure) {
      answered(all, i, std::move(report), failure);
    });
  }
}

void shared_fields::take_in_turn(const std::shared_ptr<taking>& all, uint32_t first) const {
  auto mine = part(all->what, first);
  mine.to_peers = [this, all](const rays_for_peers& rays) {
    {
      const std::lock_guard lock(all->mutex);
      all->sent_to_peers = true;
    }
    for (uint32_t i = 0; i < rays.size(); ++i) {
      if (rays[i] == nullptr)
        continue;
      if (rays[i]->size() == 0) {
        answered(all, i, {}, nullptr);
        continue;
      }
      auto theirs = part(all->what, i);
      theirs.body = nullptr;
      theirs.from_peer = rays[i];
      theirs.keep_rays = false;
      devices_[i]->take(std::move(theirs), [this, all, i](take_report report, const std::exception_ptr& failure) {
        answered(all, i, std::move(report), failure);
      });
    }
  };
  devices_[first]->take(std::move(mine), [this, all, first](take_report report, const std::exception_ptr& failure) {
    if (const std::lock_guard lock(all->mutex); failure && !all->sent_to_peers)
      all->left = 1; // the others are not told of it
    answered(all, first, std::move(report), failure);
  });
}

take_request shared_fields::part(const take_request& what, uint32_t device) const {
  auto out = what;
  out.share = {.index = device, .count = static_cast<uint32_t>(devices_.size())};
  out.to_peers = nullptr;
  return out;
}

void shared_fields::answered(const std::shared_ptr<taking>& all, uint32_t device, take_report report,
                             const std::exception_ptr& failure) const {
  {
    const std::lock_guard lock(all->mutex);
    if (failure) {
      all->report.failure = all->report.failure ? all->report.failure : failure;
    } else {
      all->add(std::move(report));
      all->by.push_back(device);
    }
    if (--all->left != 0)
      return;
  }
  all->report.failure && !all->by.empty() ? undo(all) : all->end();
}

void shared_fields::undo(const std::shared_ptr<taking>& all) const {
  auto back = all->what;
  if (back.body != nullptr) {
    // Sent to peers, and not kept: only want of memory or a failure ends here.
    if (all->report.whole.rays != 0 && all->report.whole.kept.empty()) {
      all->report.in_part = true;
      return all->end();
    }
    back.body = nullptr;
    back.rays.rays = std::make_shared<const std::vector<ray>>(std::move(all->report.whole.kept));
  }
  back.sign = -back.sign;
  back.keep_rays = false;
  all->left = static_cast<uint32_t>(all->by.size());
  for (const auto i : std::vector(all->by))
    devices_[i]->take(part(back, i), [all](const take_report&, const std::exception_ptr& failure) {
      {
        const std::lock_guard lock(all->mutex);
        all->report.in_part = all->report.in_part || failure;
        if (--all->left != 0)
          return;
      }
      all->end();
    });
}

} // namespace tessera
