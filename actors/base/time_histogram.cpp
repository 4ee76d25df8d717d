#include "actors/base/time_histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tessera {

namespace {

constexpr unsigned first_octave = 6; // 2^6 ns

template <class T>
void add_alone(std::atomic<T>& x, T more) noexcept {
  x.store(x.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
}

} // namespace

size_t time_histogram::bucket_of(uint64_t ns) noexcept {
  if (ns < (uint64_t{1} << first_octave))
    return 0;
  auto octave = static_cast<unsigned>(std::bit_width(ns)) - 1;
  auto quarter = (ns >> (octave - 2)) & 3;
  return std::min<size_t>((octave - first_octave) * 4 + quarter, buckets - 1);
}

double time_histogram::upper_s(size_t bucket) noexcept {
  auto octave = first_octave + bucket / 4;
  return std::ldexp(static_cast<double>(5 + bucket % 4), static_cast<int>(octave) - 2) * 1e-9;
}

void time_histogram::record(uint64_t ns) noexcept {
  counts_[bucket_of(ns)].fetch_add(1, std::memory_order_relaxed);
  total_ns_.fetch_add(ns, std::memory_order_relaxed);
}

void time_histogram::record_alone(uint64_t ns) noexcept {
  add_alone(counts_[bucket_of(ns)], uint32_t{1});
  add_alone(total_ns_, ns);
}

uint64_t time_histogram::count() const noexcept {
  uint64_t n = 0;
  for (const auto& c : counts_)
    n += c.load(std::memory_order_relaxed);
  return n;
}

double time_histogram::total_s() const noexcept {
  return static_cast<double>(total_ns_.load(std::memory_order_relaxed)) * 1e-9;
}

double time_histogram::quantile_s(double q) const noexcept {
  std::array<uint64_t, buckets> seen;
  uint64_t n = 0;
  for (size_t i = 0; i < buckets; ++i)
    n += seen[i] = counts_[i].load(std::memory_order_relaxed);
  if (n == 0)
    return 0;
  auto rank = std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(n))));
  uint64_t below = 0;
  for (size_t i = 0; i < buckets; ++i) {
    below += seen[i];
    if (below >= rank) // the middle of the bucket: half the error of its end
      return i == 0 ? upper_s(0) / 2 : (upper_s(i - 1) + upper_s(i)) / 2;
  }
  return upper_s(buckets - 1);
}

uint64_t time_histogram::at_most(double bound_s) const noexcept {
  uint64_t n = 0;
  for (size_t i = 0; i < buckets && upper_s(i) <= bound_s; ++i)
    n += counts_[i].load(std::memory_order_relaxed);
  return n;
}

} // namespace tessera
