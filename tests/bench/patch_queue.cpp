// What it costs a session to find the patch that its viewer wants most, while many wait: bench_patch_queue [REGIONS...]

#include "actors/viewers/patch_queue.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

using namespace tessera;

namespace {

using clock_type = std::chrono::steady_clock;

double us_since(clock_type::time_point start) {
  return std::chrono::duration<double, std::micro>(clock_type::now() - start).count();
}

/// Regions as surfaces have them: floors of a building.
std::vector<patch> building(size_t regions) {
  const auto edge = static_cast<int32_t>(std::ceil(std::sqrt(static_cast<double>(regions) / 4)));
  std::vector<patch> out;
  for (int32_t i = 0; out.size() < regions; ++i) {
    patch p;
    p.region = {i % edge - edge / 2, i / edge % edge - edge / 2, i / edge / edge * 4};
    p.version = p.triangles = 1;
    p.frame = std::make_shared<const std::vector<std::byte>>(5000);
    out.push_back(std::move(p));
  }
  return out;
}

void measure(size_t regions) {
  constexpr float region_m = 3.2f;
  std::mt19937 random{1};
  auto patches = building(regions);
  std::shuffle(patches.begin(), patches.end(), random);
  patch_queue queue{region_m};
  view from;
  queue.look(from);
  auto start = clock_type::now();
  for (const auto& p : patches)
    queue.put(p);
  const auto put_us = us_since(start) / static_cast<double>(regions);
  // A viewer that walks and turns five times a second, and takes a hundred patches a second meanwhile.
  std::vector<double> take_us, look_us;
  for (size_t taken = 0; taken < std::min<size_t>(regions, 5000); ++taken) {
    if (taken % 20 == 0) {
      const auto angle = static_cast<float>(taken) * 0.01f;
      from.position[0] += 0.2f;
      from.direction = {std::cos(angle), std::sin(angle), 0};
      start = clock_type::now();
      queue.look(from);
      look_us.push_back(us_since(start));
    }
    start = clock_type::now();
    const auto p = queue.take();
    take_us.push_back(us_since(start));
    if (!p)
      std::abort();
  }
  const auto mean = [](const std::vector<double>& of) {
    double sum = 0;
    for (const auto x : of)
      sum += x;
    return sum / static_cast<double>(of.size());
  };
  const auto greatest = *std::max_element(take_us.begin(), take_us.end());
  std::printf("%8zu regions: put %.2f us, look %.2f us, take %.2f us (at most %.0f us)\n", regions, put_us, mean(look_us),
              mean(take_us), greatest);
}

} // namespace

int main(int argc, char** argv) {
  std::vector<size_t> sizes;
  for (int i = 1; i < argc; ++i)
    sizes.push_back(std::strtoull(argv[i], nullptr, 10));
  if (sizes.empty())
    sizes = {1'000, 10'000, 100'000};
  for (const auto regions : sizes)
    measure(regions);
}
