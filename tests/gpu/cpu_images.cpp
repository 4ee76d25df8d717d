// Regions as values on the CPU: exported, imported, and added to what is there.

#include "cpu_worlds.hpp"

#include "gpu/bounds.hpp"

#include <atomic>
#include <future>
#include <stdexcept>

using namespace tessera;
using namespace tessera::test;

namespace {

/// A keyframe's map, and of its regions the one that holds most.
struct full_region {
  some_keyframes k{1};
  map_settings map = map_of(32);
  world whole{map};
  region_key region = [this] {
    whole.add(request_of(k.frames[0]));
    return fullest_of(*whole.field, whole.regions);
  }();
  region_image image = export_and_wait(*whole.field, region);
};

} // namespace

TEST_CASE("a region that is exported, dropped and imported again has its field and its mesh") {
  const uint32_t threads = GENERATE(0u, 2u);
  some_keyframes k(2);
  INFO("seed " << k.seed);
  const auto map = map_of(32);
  world whole(map), moved(map, make_cpu_fields(map, {.threads = threads})), other(map);
  for (const auto& frame : k.frames) {
    whole.add(request_of(frame));
    moved.add(request_of(frame));
  }
  std::vector<region_image> images;
  for (const auto each : moved.regions) {
    images.push_back(export_and_wait(*moved.field, each));
    CHECK(images.back().voxels.size() == images.back().blocks.size() * 512);
    import_and_wait(*other.field, each, images.back()); // to another device
    other.regions.insert(each);
  }
  std::promise<void> cleared;
  moved.field->clear([&](const std::exception_ptr& failure) {
    CHECK_FALSE(failure);
    cleared.set_value();
  });
  cleared.get_future().get();
  CHECK(moved.field->memory().blocks == 0);
  CHECK(moved.field->memory().regions_here == 0);
  CHECK(moved.stats() == field_stats{});
  const auto region = fullest_of(*whole.field, whole.regions);
  CHECK(export_and_wait(*moved.field, region).blocks.empty());
  auto image = images.begin();
  for (const auto each : moved.regions)
    import_and_wait(*moved.field, each, *image++);
  check_same(moved, whole);
  check_same(other, whole);
  import_and_wait(*moved.field, region, {}); // nothing is a field, too
  CHECK(stats_and_wait(*moved.field, region) == field_stats{});
}

TEST_CASE("images that are added while keyframes are taken, and taken away, sum up with them") {
  const uint32_t threads = GENERATE(0u, 2u);
  some_keyframes k(3);
  INFO("seed " << k.seed);
  const auto map = map_of(32);
  world whole(map), part(map), sum(map, make_cpu_fields(map, {.threads = threads}));
  for (const auto& frame : k.frames)
    whole.add(request_of(frame));
  part.add(request_of(k.frames[0]));
  part.add(request_of(k.frames[1]));
  std::atomic<size_t> left{part.regions.size() + 2};
  std::promise<void> all;
  const auto done = [&](const std::exception_ptr& failure) {
    CHECK_FALSE(failure);
    if (--left == 0)
      all.set_value();
  };
  auto away = request_of(k.frames[0]);
  away.sign = -1;
  sum.field->take(away, [&](const take_report&, const std::exception_ptr& failure) { done(failure); });
  for (const auto region : part.regions) // what was taken away comes back with the image
    sum.field->add_region(region, export_and_wait(*part.field, region), done);
  sum.field->take(request_of(k.frames[2]), [&](const take_report&, const std::exception_ptr& failure) { done(failure); });
  all.get_future().get();
  sum.add(request_of(k.frames[0]));
  sum.regions = whole.regions;
  check_same(sum, whole);
  add_and_wait(*sum.field, fullest_of(*whole.field, whole.regions), {}); // nothing is a field, too
  check_same(sum, whole);
}

TEST_CASE("an image for which there is no room is not half added") {
  full_region one;
  INFO("seed " << one.k.seed);
  const auto& [k, map, whole, region, image] = one;
  REQUIRE(image.blocks.size() > 1);
  auto before = image; // a block less
  before.blocks.pop_back();
  before.voxels.resize(before.blocks.size() * 512);
  world full(map, make_cpu_fields(map, {.threads = 0, .cap_bytes = image.blocks.size() * 12'288 - 1}));
  add_and_wait(*full.field, region, before);
  const auto was = stats_and_wait(*full.field, region).hash;
  CHECK_THROWS_AS(add_and_wait(*full.field, region, image), memory_cap_reached);
  CHECK(stats_and_wait(*full.field, region).hash == was);
  CHECK(full.field->memory().blocks == before.blocks.size());
  auto bad = image;
  bad.voxels.pop_back();
  CHECK_THROWS_AS(add_and_wait(*full.field, region, bad), std::invalid_argument);
}

TEST_CASE("what is no image of a region is refused, and what has no room is not half imported") {
  full_region one;
  INFO("seed " << one.k.seed);
  const auto& [k, map, w, region, good] = one;
  REQUIRE_FALSE(good.blocks.empty());
  auto beyond = good, twice = good, few = good;
  beyond.blocks.back() = 5 * 5 * 5;
  twice.blocks.push_back(twice.blocks.back());
  twice.voxels.resize(twice.blocks.size() * 512);
  few.voxels.pop_back();
  const auto before = w.stats();
  for (const auto& bad : {beyond, twice, few})
    CHECK_THROWS_AS(import_and_wait(*w.field, region, bad), std::invalid_argument);
  CHECK(w.stats().hash == before.hash);
  world full(map, make_cpu_fields(map, {.threads = 0, .cap_bytes = good.blocks.size() * 12'288 - 1}));
  CHECK_THROWS_AS(import_and_wait(*full.field, region, good), memory_cap_reached);
  CHECK(full.field->memory().blocks == 0);
  CHECK(full.field->memory().regions_here == 0);
}
