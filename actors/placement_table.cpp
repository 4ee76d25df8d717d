#include "actors/placement_table.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace tessera {

namespace {

uint64_t mix(uint64_t x) { // the finaliser of splitmix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

uint64_t hash(const region_key& region, device_id device) {
  auto h = mix(device.value + 0x9e3779b97f4a7c15u);
  for (auto c : {region.x, region.y, region.z})
    h = mix(h + 0x9e3779b97f4a7c15u + static_cast<uint32_t>(c));
  return h;
}

/// Weighted rendezvous hashing: -capacity / log(u), u uniform in (0, 1).
double score(const region_key& region, device_id device, double capacity) {
  const auto u = (static_cast<double>(hash(region, device) >> 11) + 0.5) * 0x1p-53;
  return -capacity / std::log(u);
}

} // namespace

void placement_table::add(device_id device, double capacity) {
  if (!(capacity > 0) || !std::isfinite(capacity))
    throw std::invalid_argument("the capacity of device " + std::to_string(device.value) + " is " + std::to_string(capacity)
                                + ", not a number larger than 0");
  remove(device);
  devices_.push_back({device, capacity});
}

void placement_table::remove(device_id device) {
  std::erase_if(devices_, [&](const entry& e) { return e.device == device; });
}

device_id placement_table::place(const region_key& region) const {
  const entry* best = nullptr;
  double best_score = 0;
  for (const auto& e : devices_) {
    const auto s = score(region, e.device, e.capacity);
    if (!best || s > best_score || (s == best_score && e.device < best->device)) {
      best = &e;
      best_score = s;
    }
  }
  if (!best)
    throw std::out_of_range("there is no device to place a region on");
  return best->device;
}

} // namespace tessera
