// The CPU's fields as a device: what is asked of it without waiting.

#include "cpu_worlds.hpp"

#include "gpu/bounds.hpp"
#include "tests/support/torn_body.hpp"

#include <algorithm>
#include <atomic>
#include <future>
#include <latch>
#include <stdexcept>
#include <thread>
#include <tuple>

using namespace tessera;
using namespace tessera::test;

namespace {

class other_rays final : public peer_rays {
public:
  [[nodiscard]] size_t size() const override { return 7; }
};

} // namespace

TEST_CASE("a keyframe taken from its points, and from its stored rays, is the same, and its report tells all") {
  const uint32_t threads = GENERATE(0u, 3u);
  some_keyframes k(3);
  INFO("seed " << k.seed);
  const auto map = map_of(32);
  world points(map, make_cpu_fields(map, {.threads = threads})), stored(map);
  for (const auto& frame : k.frames) {
    auto what = request_of(frame);
    what.keep_rays = what.mesh = what.times = true;
    const auto report = points.add(what);
    ray_counts counts;
    const auto rays = make_rays(map, *frame.body, frame.world_from_camera, counts);
    CHECK(report.kept == rays);
    CHECK(report.rays == rays.size());
    CHECK(std::tuple(report.counts.valid, report.counts.not_finite, report.counts.out_of_range)
          == std::tuple(counts.valid, counts.not_finite, counts.out_of_range));
    CHECK(report.rays_ms > 0);
    CHECK(report.integrate_ms > 0);
    CHECK(report.extract_ms > 0);
    CHECK(report.meshed == 1);
    const auto again = stored.add(scan{report.kept, frame.world_from_camera});
    CHECK(again.kept.empty());
    CHECK(again.meshed == 0);
    CHECK(again.regions == report.regions);
    CHECK(std::is_sorted(report.regions.begin(), report.regions.end()));
    uint64_t vertices = 0, triangles = 0;
    for (const auto region : report.regions) {
      const auto surface = extract_and_wait(*stored.field, region);
      vertices += surface->vertices();
      triangles += surface->triangles();
    }
    CHECK(report.vertices == vertices);
    CHECK(report.triangles == triangles);
  }
  check_same(points, stored);
  CHECK(points.field->name() == "cpu");
  CHECK(points.field->memory().regions_here > 0);
  CHECK(points.field->memory().regions_here <= points.regions.size());
  CHECK(points.field->memory().blocks >= points.stats().blocks);
}

TEST_CASE("`only` fills a region that was dropped, and writes to no other") {
  some_keyframes k(3);
  INFO("seed " << k.seed);
  const auto map = map_of(32);
  world whole(map), refilled(map);
  for (const auto& frame : k.frames) {
    whole.add(request_of(frame));
    refilled.add(request_of(frame));
  }
  std::vector<region_key> lost; // whose loss the hash tells: others have no more than a share of their neighbours' blocks
  for (const auto region : refilled.regions)
    if (lost.size() < 2 && stats_and_wait(*refilled.field, region).blocks > 0)
      lost.push_back(region);
  REQUIRE(lost.size() == 2);
  for (const auto region : lost)
    drop_and_wait(*refilled.field, region);
  CHECK(refilled.stats().hash != whole.stats().hash);
  for (const auto& frame : k.frames) {
    auto what = request_of(scan_of(map, frame));
    what.only = lost;
    for (const auto region : take_and_wait(*refilled.field, what).regions)
      CHECK(std::binary_search(lost.begin(), lost.end(), region));
  }
  check_same(refilled, whole);
}

TEST_CASE("a keyframe that the whole cap cannot hold would be refused again; one beside which there is too much is not now") {
  const uint32_t threads = GENERATE(0u, 3u);
  const bool mesh = GENERATE(false, true); // the surface's bytes count as well
  some_keyframes k(1);
  INFO("seed " << k.seed);
  const auto map = map_of(32);
  const auto one = scan_of(map, k.frames[0]);
  auto beside = one, several = one, few = one;
  beside.at.m[3] += 1'000.f;
  for (const auto& each : one.rays) {
    auto other = each;
    std::tie(other.x, other.y, other.z) = std::tuple(-each.x, -each.y, -each.z);
    several.rays.push_back(other);
    std::tie(other.x, other.y, other.z) = std::tuple(each.z, each.x, each.y);
    several.rays.push_back(other);
  }
  few.rays.erase(few.rays.begin() + 1, few.rays.end());
  const auto take = [&](world& into, const scan& what) {
    auto request = request_of(what);
    request.mesh = mesh;
    into.add(request);
  };
  const auto capped = [&](uint64_t bytes) { return world(map, make_cpu_fields(map, {.threads = threads, .cap_bytes = bytes})); };
  world whole(map, make_cpu_fields(map, {.threads = threads}));
  take(whole, one);
  const auto bytes = whole.stats().bytes;
  auto small = capped(bytes / 2);
  CHECK_THROWS_AS(take(small, one), pool_too_small);
  CHECK_THROWS_WITH(take(small, one), Catch::Contains("this keyframe alone") && Catch::Contains("memory-cap")
                                        && Catch::Contains(std::to_string(bytes / 2) + " bytes"));
  CHECK(small.field->memory().blocks == 0);
  CHECK(small.field->memory().regions_here == 0);
  auto large = capped(bytes * 3 / 2);
  take(large, one);
  CHECK_THROWS_AS(take(large, beside), memory_cap_reached);
  CHECK(large.stats().hash == whole.stats().hash);
  // Also where something is in the map already, and stays as it is.
  auto tight = capped(bytes), calm = capped(bytes);
  take(tight, few);
  take(calm, few);
  CHECK_THROWS_AS(take(tight, several), pool_too_small);
  CHECK(tight.stats().hash == calm.stats().hash);
  CHECK(tight.field->memory().blocks == calm.field->memory().blocks);
}

TEST_CASE("devices that share a map have every region once, also when some are lost") {
  some_keyframes k(2);
  INFO("seed " << k.seed);
  const auto map = map_of(16);
  world whole(map);
  for (const auto& frame : k.frames)
    whole.add(request_of(frame));
  for (const uint64_t lost : {0b0000u, 0b0100u, 0b0011u, 0b1110u}) {
    INFO("lost " << lost);
    map_hash sum;
    std::set<region_key> seen;
    for (uint32_t i = 0; i < 4; ++i) {
      const region_share share{.index = i, .count = 4, .lost = lost};
      world part(map);
      for (const auto& frame : k.frames) {
        auto what = request_of(frame);
        what.share = share;
        part.add(std::move(what));
      }
      for (const auto region : part.regions) {
        CHECK(owner_of(region, share) == i);
        CHECK(seen.insert(region).second);
        if (const region_share all{.index = 0, .count = 4}; (lost >> owner_of(region, all) & 1) == 0)
          CHECK(owner_of(region, all) == i); // who is left keeps its own
      }
      CHECK((part.regions.empty() || (lost >> i & 1) == 0));
      sum += part.stats().hash;
    }
    CHECK(seen == whole.regions);
    CHECK(sum == whole.stats().hash);
  }
}

TEST_CASE("the rays that one device makes for its peers give them their shares, and nothing those that are lost") {
  const uint64_t lost = GENERATE(0b000u, 0b100u);
  some_keyframes k(1);
  INFO("seed " << k.seed);
  const auto map = map_of(16);
  world whole(map);
  whole.add(request_of(k.frames[0]));
  map_hash sum;
  rays_for_peers theirs;
  for (const uint32_t i : {1u, 0u, 2u}) {
    if (lost >> i & 1)
      continue;
    world part(map);
    auto what = request_of(k.frames[0]);
    what.share = {.index = i, .count = 3, .lost = lost};
    if (theirs.empty()) {
      what.to_peers = [&](auto rays) { theirs = std::move(rays); };
    } else {
      what.body = nullptr;
      what.from_peer = theirs[i];
      CHECK(theirs[i]->size() > 0);
    }
    part.add(std::move(what));
    sum += part.stats().hash;
  }
  REQUIRE(theirs.size() == 3);
  CHECK(theirs[1] == nullptr);
  CHECK((theirs[2] == nullptr) == (lost != 0));
  CHECK(sum == whole.stats().hash);
}

TEST_CASE("what cannot be taken says why, changes nothing, and is not sent to peers") {
  const uint32_t threads = GENERATE(0u, 2u);
  some_keyframes k(1);
  const auto map = map_of(32);
  const auto fields = make_cpu_fields(map, {.threads = threads});
  const auto refuses = [&](auto change) {
    auto what = request_of(k.frames[0]);
    what.share.count = 2;
    what.to_peers = [](const auto&) { FAIL("it was sent to peers"); };
    change(what);
    take_and_wait(*fields, std::move(what));
  };
  CHECK_THROWS_AS(refuses([](take_request& w) { w.sign = 0; }), std::invalid_argument);
  CHECK_THROWS_AS(refuses([](take_request& w) { w.share = {.index = 2, .count = 2}; }), std::invalid_argument);
  CHECK_THROWS_AS(refuses([](take_request& w) { w.share = {.index = 0, .count = 65}; }), std::invalid_argument);
  CHECK_THROWS_AS(refuses([](take_request& w) { w.share = {.index = 0, .count = 2, .lost = 3}; }), std::invalid_argument);
  CHECK_THROWS_AS(refuses([](take_request& w) {
                    w.body = nullptr;
                    w.from_peer = std::make_shared<other_rays>();
                  }),
                  std::invalid_argument);
  CHECK_THROWS_AS(refuses([](take_request& w) { w.only = {{1, 0, 0}, {0, 0, 0}}; }), std::invalid_argument);
  CHECK_THROWS_AS(refuses([](take_request& w) {
                    const auto body = std::make_shared<owned_keyframe_body>();
                    body->point_data.resize(30);
                    w.body = body;
                  }),
                  std::invalid_argument);
  CHECK_THROWS_WITH(refuses([](take_request& w) { w.body = std::make_shared<torn_body>(w.body); }), "the segment shrank");
  CHECK_THROWS_AS(refuses([](take_request& w) { w.body = std::make_shared<torn_body>(w.body); }), torn_keyframe);
  const auto scattered = [&](size_t points) {
    std::uniform_real_distribution<float> far(-55.f, 55.f);
    auto body = std::make_shared<owned_keyframe_body>();
    for (size_t i = 0; i < 3 * points; ++i)
      body->point_data.push_back(far(k.random));
    body->colour_data.resize(body->point_data.size());
    return body;
  };
  for (const size_t points : {20'000u, 300'000u}) { // refused when its rays are sorted, and before they are made
    const auto body = scattered(points);
    CHECK_THROWS_AS(refuses([&](take_request& w) { w.body = body; }), keyframe_too_large);
    CHECK_THROWS_AS(refuses([&](take_request& w) { w.body = std::make_shared<torn_body>(body); }), torn_keyframe);
  }
  CHECK(fields->memory().regions_here == 0);
  CHECK_THROWS_AS(fields->break_down(breakage::trap), std::logic_error);
  CHECK_NOTHROW(take_and_wait(*fields, {})); // no rays at all
}

TEST_CASE("rays alone are those of make_rays, and not of torn points") {
  const uint32_t threads = GENERATE(0u, 2u);
  some_keyframes k(1);
  const auto map = map_of(32);
  const auto fields = make_cpu_fields(map, {.threads = threads});
  const auto& frame = k.frames[0];
  std::promise<std::vector<ray>> made, torn;
  fields->rays(fields->pin(*frame.body), frame.world_from_camera,
               [&](std::vector<ray> rays, const ray_counts& counts, const std::exception_ptr&) {
                 CHECK(counts.valid > 0);
                 made.set_value(std::move(rays));
               });
  fields->rays(std::make_shared<torn_body>(frame.body), frame.world_from_camera,
               [&](const std::vector<ray>&, const ray_counts&, const std::exception_ptr& why) { torn.set_exception(why); });
  CHECK(made.get_future().get() == scan_of(map, frame).rays);
  CHECK_THROWS_AS(torn.get_future().get(), torn_keyframe);
}

TEST_CASE("many keyframes under way from many threads are one map") {
  const uint32_t threads = GENERATE(0u, 1u, 4u);
  some_keyframes k(6);
  INFO("seed " << k.seed);
  const auto map = map_of(16);
  world one(map), many(map, make_cpu_fields(map, {.threads = threads}));
  for (const auto& frame : k.frames) {
    one.add(request_of(frame));
    one.add(request_of(frame, -1));
    one.add(request_of(frame));
  }
  std::latch all(3 * 6);
  std::atomic<int> failures = 0;
  {
    std::vector<std::jthread> asking;
    for (const int sign : {1, -1, 1})
      asking.emplace_back([&, sign] {
        for (const auto& frame : k.frames) {
          auto what = request_of(frame, sign);
          what.mesh = sign > 0;
          many.field->take(std::move(what), [&](const take_report&, const std::exception_ptr& why) {
            failures += why ? 1 : 0;
            all.count_down();
          });
        }
      });
  }
  all.wait();
  CHECK(failures == 0);
  many.regions = one.regions;
  check_same(many, one);
}

TEST_CASE("what is asked about one region takes effect in that order") {
  const uint32_t threads = GENERATE(0u, 3u);
  some_keyframes k(1);
  const auto map = map_of(64);
  world w(map, make_cpu_fields(map, {.threads = threads}));
  w.add(request_of(k.frames[0]));
  for (const auto region : w.regions) {
    const auto image = export_and_wait(*w.field, region);
    const auto want = stats_and_wait(*w.field, region).hash;
    std::vector<std::promise<map_hash>> hashes(3);
    const auto ask = [&](size_t i) {
      w.field->stats(region, [&, i](const field_stats& s, const std::exception_ptr&) { hashes[i].set_value(s.hash); });
    };
    ask(0);
    w.field->drop(region, [](const std::exception_ptr&) {});
    ask(1);
    w.field->import_region(region, image, [](const std::exception_ptr&) {});
    ask(2);
    CHECK(hashes[0].get_future().get() == want);
    CHECK(hashes[1].get_future().get() == map_hash{});
    CHECK(hashes[2].get_future().get() == want);
  }
}

TEST_CASE("an answer may ask for more, with and without threads") {
  const uint32_t threads = GENERATE(0u, 1u);
  some_keyframes k(1);
  const auto map = map_of(32);
  world w(map, make_cpu_fields(map, {.threads = threads}));
  std::promise<bool> good;
  w.field->take(request_of(k.frames[0]), [&](const take_report& report, const std::exception_ptr&) {
    w.field->stats(report.regions.at(0), [&](const field_stats&, const std::exception_ptr& why) { good.set_value(!why); });
  });
  CHECK(good.get_future().get());
}

TEST_CASE("requests that wait when the fields go are answered, each once") {
  some_keyframes k(4);
  const auto map = map_of(16);
  // Until the fields are quicker than their thread to all that waits, which they are as good as always.
  for (bool quicker = false; !quicker;) {
    std::atomic<int> answers = 0, errors = 0;
    int asked = 0;
    const auto count = [&](const std::exception_ptr& why) {
      ++answers;
      errors += why ? 1 : 0;
    };
    std::latch held(1), go_on(1);
    {
      const auto fields = make_cpu_fields(map, {.threads = 1});
      fields->stats({}, [&](const field_stats&, const std::exception_ptr&) {
        held.count_down();
        go_on.wait();
      });
      held.wait();
      for (const auto& frame : k.frames) {
        fields->take(request_of(frame), [&](const take_report&, const std::exception_ptr& why) { count(why); });
        fields->rays(frame.body, frame.world_from_camera,
                     [&](const std::vector<ray>&, const ray_counts&, const std::exception_ptr& why) { count(why); });
        asked += 2;
      }
      for (int32_t x = 0; x < 3; ++x, asked += 2) {
        fields->extract({x, 0, 0}, [&](const std::shared_ptr<const mesh>&, const std::exception_ptr& why) { count(why); });
        fields->drop({x, 0, 0}, [&](const std::exception_ptr& why) { count(why); });
      }
      go_on.count_down();
    }
    CHECK(answers == asked);
    quicker = errors == asked;
  }
}
