// What regions have in a plane. Regions are asked a few at a time, so that keyframes come in between; nothing waits for a
// picture.

#include "actors/map/partitioner_class.hpp"
#include "gpu/region_slices.hpp"

#include <algorithm>

namespace tessera::detail {

namespace {

/// Regions that are asked at once for one picture. A device copies each as a whole first: ten megabytes at most, at 64 voxels.
constexpr size_t asked_at_once = 4;

} // namespace

caf::typed_response_promise<field_slice> partitioner::ask_slice(const field_plane& plane) {
  auto out = make_response_promise<caf::typed_response_promise<field_slice>>();
  if (!made_again_) {
    out.deliver(being_made_again());
    return out;
  }
  const auto one = std::make_shared<slicing>(slicing{plane, out, {}});
  for (const auto& [key, its] : regions_)
    if (goes_through(config_.map, plane, key))
      one->to_ask.push_back(key);
  one->made.cut = one->to_ask.size();
  if (one->made.cut > most_slice_regions(config_.map))
    one->to_ask.clear();
  std::sort(one->to_ask.rbegin(), one->to_ask.rend());
  slicings_.push_back(one);
  slice_on(one);
  return out;
}

void partitioner::slice_on(const slicing_ptr& one) {
  while (one->asked < asked_at_once && !one->to_ask.empty()) {
    const auto region = one->to_ask.back();
    const auto* owner = devices_.owner(region);
    if (owner == nullptr)
      return end_slicing(one, being_made_again());
    one->to_ask.pop_back();
    ++one->asked;
    request(owner->handle, config_.request_timeout, slice_atom::value, region, one->plane)
      .then(
        [this, one](region_slice& its) {
          --one->asked;
          if (!its.weights.empty())
            one->made.parts.push_back(std::move(its));
          slice_on(one);
        },
        [this, one](const caf::error& err) { end_slicing(one, err); });
  }
  if (one->asked == 0)
    end_slicing(one);
}

void partitioner::end_slicing(const slicing_ptr& one, const caf::error& failure) {
  if (std::erase(slicings_, slicing_ptr{one}) == 0)
    return; // it has ended
  one->to_ask.clear();
  if (failure) {
    one->promise.deliver(failure);
    return;
  }
  std::sort(one->made.parts.begin(), one->made.parts.end(), [](const auto& a, const auto& b) { return a.region < b.region; });
  one->promise.deliver(std::move(one->made));
}

} // namespace tessera::detail
