#include "gpu/cpu/taking.hpp"

#include "gpu/bounds.hpp"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>

namespace tessera::cpu {

namespace {

using clock = std::chrono::steady_clock;

/// Adds the milliseconds of its life to a sum.
class timed {
public:
  explicit timed(double* sum) : sum_(sum), start_(sum != nullptr ? clock::now() : clock::time_point{}) {}
  ~timed() {
    if (sum_ != nullptr)
      *sum_ += std::chrono::duration<double, std::milli>(clock::now() - start_).count();
  }
  timed(const timed&) = delete;
  timed& operator=(const timed&) = delete;

private:
  double* sum_;
  clock::time_point start_;
};

void check_request(const take_request& what) {
  const auto check = [](bool good, const std::string& text) {
    if (!good)
      throw std::invalid_argument("a keyframe's " + text);
  };
  check(what.sign == 1 || what.sign == -1, "sign is " + std::to_string(what.sign) + ", not 1 or -1");
  const auto& [index, count, lost] = what.share;
  check(count >= 1 && count <= most_shares,
        "map is shared by " + std::to_string(count) + " devices, not 1 to " + std::to_string(most_shares));
  check(index < count, "device has number " + std::to_string(index) + " of " + std::to_string(count));
  const auto all = count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
  check((lost & all) != all, "map has lost all of its devices");
  check(std::is_sorted(what.only.begin(), what.only.end()), "regions are not sorted");
  if (!what.body)
    return check(what.rays.rays != nullptr, "rays are null");
  const auto& body = *what.body;
  check(body.channels() == 3 || body.channels() == 4,
        "colours have " + std::to_string(body.channels()) + " channels, not 3 or 4");
  check(body.colours().size() == body.size() * body.channels(), "colours are not as many as its points");
  check(body.confidence().empty() || body.confidence().size() == body.size(), "confidences are not as many as its points");
}

} // namespace

void check_whole(const keyframe_body& body) {
  if (const auto torn = body.torn(); !torn.empty())
    throw torn_keyframe(torn); // whatever was read means nothing
}

std::vector<ray> make_whole_rays(const map_settings& map, const keyframe_body& body, const pose& at, ray_counts& counts) {
  std::vector<ray> out;
  try {
    out = make_rays(map, body, at, counts);
  } catch (const keyframe_too_large&) {
    check_whole(body);
    throw;
  }
  check_whole(body);
  return out;
}

std::exception_ptr fields_are_gone() {
  return std::make_exception_ptr(std::runtime_error("the CPU's fields went before it was done"));
}

struct taking::cut {
  partition by_region;
  uint64_t beyond = 0, rays = 0;
};

/// Peers of this kind share the memory: they get all regions' rays, and take what is theirs.
struct taking::cpu_peer_rays final : peer_rays {
  std::shared_ptr<const cut> all;
  size_t rays = 0; ///< for the device that it is for
  [[nodiscard]] size_t size() const override { return rays; }
};

taking::taking(const map_settings& map, field_index& fields, region_pool& pool, take_request&& what,
               async_fields::take_done&& answer)
  : map_(map), fields_(fields), pool_(pool), what_(std::move(what)), answer_(std::move(answer)) {}

void taking::run() noexcept {
  bool under_way = false;
  try {
    prepare();
    if (!parts_.empty()) {
      pool_.add(&parts_.front());
      under_way = true; // or over, by now
    }
  } catch (...) {
    fail(std::current_exception());
  }
  if (!under_way)
    answer_and_end();
}

void taking::prepare() {
  check_request(what_);
  {
    const timed time(what_.times ? &report_.rays_ms : nullptr);
    cut_ = make_cut();
    choose_parts();
  }
  if (what_.to_peers)
    prepare_for_peers();
  for (size_t i = 1; i < parts_.size(); ++i)
    parts_[i - 1].next = &parts_[i];
  left_ = parts_.size();
}

void taking::let_go() noexcept {
  fail(fields_are_gone());
  answer_and_end();
}

std::shared_ptr<const taking::cut> taking::make_cut() {
  const auto from_peer = !what_.body && what_.rays.rays->empty() ? what_.from_peer : nullptr;
  if (from_peer) {
    const auto* ours = dynamic_cast<const cpu_peer_rays*>(from_peer.get());
    if (ours == nullptr)
      throw std::invalid_argument("a keyframe's rays come from a device of another kind");
    return ours->all;
  }
  std::vector<ray> made;
  if (what_.body)
    made = make_whole_rays(map_, *what_.body, what_.world_from_camera, report_.counts);
  const auto& rays = what_.body ? made : *what_.rays.rays;
  const auto out = std::make_shared<cut>();
  out->by_region = partition_rays(map_, rays, what_.world_from_camera, out->beyond);
  out->rays = rays.size();
  if (what_.keep_rays)
    report_.kept = what_.body ? std::move(made) : rays;
  return out;
}

void taking::choose_parts() {
  report_.beyond = cut_->beyond;
  report_.rays = cut_->rays;
  report_.meshed = what_.mesh ? 1 : 0;
  parts_.reserve(cut_->by_region.parts.size());
  report_.regions.reserve(cut_->by_region.parts.size());
  for (const auto& one : cut_->by_region.parts) {
    if (what_.share.count > 1 && owner_of(one.region, what_.share) != what_.share.index)
      continue;
    if (!what_.only.empty() && !std::binary_search(what_.only.begin(), what_.only.end(), one.region))
      continue;
    report_.regions.push_back(one.region);
    parts_.emplace_back(*this, one);
  }
}

void taking::prepare_for_peers() {
  std::vector<std::shared_ptr<cpu_peer_rays>> out(what_.share.count);
  for (uint32_t i = 0; i < out.size(); ++i)
    if (i != what_.share.index && (what_.share.lost >> i & 1) == 0) {
      out[i] = std::make_shared<cpu_peer_rays>();
      out[i]->all = cut_;
    }
  for (const auto& one : cut_->by_region.parts)
    if (const auto owner = owner_of(one.region, what_.share); out[owner])
      out[owner]->rays += one.count;
  for_peers_ = {out.begin(), out.end()};
}

ray_job taking::job_of(const part& one) const {
  return {std::span(*cut_->by_region.batch.rays).subspan(one.first, one.count), what_.world_from_camera, what_.sign};
}

void taking::run(part& one) noexcept {
  try {
    undoing_ ? undo(one) : add(one);
  } catch (...) {
    fail(std::current_exception());
  }
  one_is_over();
}

void taking::let_go(part&) noexcept {
  fail(fields_are_gone());
  one_is_over();
}

void taking::add(part& one) {
  if (failed_)
    return counting_ ? count(one) : void();
  auto& entry = fields_.find_or_make(one.region);
  const bool was_empty = entry.field.empty();
  try {
    const timed time(what_.times ? &one.integrate_ms : nullptr);
    entry.field.integrate(job_of(one));
    one.done = true;
    one.fresh_bytes = entry.field.fresh_blocks() * sizeof(block);
  } catch (const std::bad_alloc&) {
    one.fresh_bytes = entry.field.fresh_blocks() * sizeof(block);
    const auto edge = static_cast<uint64_t>(entry.field.blocks());
    const auto most_bytes = 2 * parts_.size() * edge * edge * edge * sizeof(block); // with surfaces
    counting_ = what_.sign == 1 && fields_.cap_bytes() != 0 && most_bytes > fields_.cap_bytes();
    fields_.drop_if_empty(one.region);
    throw;
  }
  if (entry.field.empty()) { // rays that touch a region need not write to it
    one.done = false;
    fields_.drop(one.region);
  } else if (what_.mesh) {
    const timed time(what_.times ? &one.extract_ms : nullptr);
    const auto surface = entry.extract();
    one.vertices = surface->vertices();
    one.triangles = surface->triangles();
    if (was_empty) // else it is of others, too
      one.fresh_bytes += entry.surface_bytes();
  }
}

/// The keyframe is not taken, but how much it needs says whether it ever can be.
void taking::count(part& one) {
  one.fresh_bytes = fields_.find_or_make(one.region).field.count_fresh_blocks(job_of(one)) * sizeof(block);
  fields_.drop_if_empty(one.region);
}

void taking::undo(part& one) {
  auto* const entry = fields_.find(one.region);
  if (entry == nullptr)
    return; // dropped meanwhile
  try {
    entry->field.undo(job_of(one));
  } catch (const std::bad_alloc&) {
    const std::lock_guard lock(mutex_);
    failure_ = std::make_exception_ptr(fields_lost("the machine has no memory, not even to take a keyframe back"));
    return;
  }
  if (what_.mesh)
    try {
      entry->extract();
    } catch (const std::bad_alloc&) { // what changed is meshed the next time
    }
  fields_.drop_if_empty(one.region);
}

void taking::fail(std::exception_ptr why) noexcept {
  const std::lock_guard lock(mutex_);
  if (!failure_)
    failure_ = std::move(why);
  failed_ = true;
}

void taking::one_is_over() noexcept {
  if (left_.fetch_sub(1) != 1)
    return;
  if (failed_ && !std::exchange(undoing_, true)) {
    // All or nothing. The pool knows these jobs, and cannot refuse them.
    work* chain = nullptr;
    for (auto& one : parts_)
      if (one.done) {
        one.next = std::exchange(chain, &one);
        ++left_;
      }
    if (chain != nullptr)
      return pool_.add(chain);
  }
  answer_and_end();
}

/// What memory-cap has no room for at the moment may come later; what is more than all of it by itself never can.
void taking::tell_if_too_large() noexcept {
  uint64_t alone = 0;
  for (const auto& one : parts_)
    alone += one.fresh_bytes;
  const auto cap = fields_.cap_bytes();
  if (!counting_ || alone <= cap)
    return;
  try {
    std::rethrow_exception(failure_);
  } catch (const memory_cap_reached&) {
    try {
      failure_ = std::make_exception_ptr(pool_too_small("this keyframe alone writes to more than memory-cap, "
                                                        + std::to_string(cap) + " bytes (" + std::to_string(cap >> 20)
                                                        + " MiB), holds; a larger voxel or memory-cap takes it"));
    } catch (const std::bad_alloc&) { // the next time, then
    }
  } catch (...) { // of something else
  }
}

void taking::answer_and_end() noexcept {
  if (failure_)
    tell_if_too_large();
  for (const auto& one : parts_) {
    report_.vertices += one.vertices;
    report_.triangles += one.triangles;
    report_.integrate_ms += one.integrate_ms;
    report_.extract_ms += one.extract_ms;
  }
  if (!failure_ && what_.to_peers)
    what_.to_peers(std::move(for_peers_));
  const auto answer = std::move(answer_);
  auto report = failure_ ? take_report{} : std::move(report_);
  const auto failure = failure_;
  delete this; // and with it what it held of others, before they hear of it
  answer(std::move(report), failure);
}

} // namespace tessera::cpu
