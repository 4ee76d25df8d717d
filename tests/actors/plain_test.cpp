// The plain classes that actors are made of.

#include "actors/catch_up.hpp"
#include "actors/keyframe_check.hpp"
#include "actors/log_limit.hpp"
#include "actors/mesh_digest.hpp"
#include "actors/no_points.hpp"
#include "actors/patch_board.hpp"
#include "actors/patch_queue.hpp"
#include "actors/placement_table.hpp"
#include "actors/refill_book.hpp"
#include "actors/service.hpp"
#include "actors/time_histogram.hpp"
#include "actors/token_bucket.hpp"
#include "actors/voxel_size.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <limits>
#include <random>

using namespace tessera;

namespace {

patch a_patch(region_key region, uint64_t version, size_t bytes = 100, uint32_t triangles = 1) {
  patch out;
  out.region = region;
  out.version = version;
  out.triangles = triangles;
  out.vertices = 3 * triangles;
  out.frame = std::make_shared<const std::vector<std::byte>>(bytes);
  return out;
}

keyframe good_frame() {
  auto body = std::make_shared<owned_keyframe_body>();
  body->point_data = {0, 0, 1, 1, 0, 2};
  body->colour_data = {1, 2, 3, 4, 5, 6};
  keyframe out;
  out.id.value = "kf";
  out.world_from_camera.m[3] = 5;
  out.body = body;
  return out;
}

std::shared_ptr<owned_keyframe_body> body_of(const keyframe& frame) {
  return std::make_shared<owned_keyframe_body>(dynamic_cast<const owned_keyframe_body&>(*frame.body));
}

} // namespace

// -- keyframe check
// -----------------------------------------------------------------------------------------------------------------

TEST_CASE("a good keyframe has no fault; points that are not finite are none") {
  auto frame = good_frame();
  CHECK_FALSE(check_keyframe(frame, {}));
  auto body = body_of(frame);
  body->point_data[0] = std::numeric_limits<float>::quiet_NaN();
  frame.body = body;
  CHECK_FALSE(check_keyframe(frame, {}));
}

TEST_CASE("each bad keyframe is refused with the field, the value and the bound") {
  auto fault = [](auto change) {
    auto frame = good_frame();
    change(frame);
    auto f = check_keyframe(frame, {});
    REQUIRE(f);
    return *f;
  };
  auto is = [](const keyframe_fault& f, refusal why, const std::string& part) {
    CHECK(f.why == why);
    CHECK_THAT(f.text, Catch::Contains(part));
  };
  is(fault([](keyframe& f) { f.id.value.clear(); }), refusal::id, "0 bytes, not 1 to 256");
  is(fault([](keyframe& f) { f.id.value.assign(257, 'x'); }), refusal::id, "257 bytes");
  is(fault([](keyframe& f) { f.id.value = "a\nb"; }), refusal::id, "control character 10");
  is(fault([](keyframe& f) { f.world_from_camera.m[5] = NAN; }), refusal::pose, "pose[1][1] is nan");
  is(fault([](keyframe& f) { f.world_from_camera.m[3] = INFINITY; }), refusal::pose, "pose[0][3] is inf");
  is(fault([](keyframe& f) { f.world_from_camera.m.fill(0); }), refusal::pose, "all zeros");
  is(fault([](keyframe& f) { f.world_from_camera.m[0] = 1.01f; }), refusal::pose, "not rigid");
  is(fault([](keyframe& f) { f.world_from_camera.m[0] = -1; }), refusal::pose, "reflection");
  is(fault([](keyframe& f) { f.world_from_camera.m[12] = 2; }), refusal::pose, "pose[3][0] is 2, not 0");
  is(fault([](keyframe& f) { f.body = nullptr; }), refusal::points, "no points");
  is(fault([](keyframe& f) { f.body = std::make_shared<owned_keyframe_body>(); }), refusal::points,
     "point_count is 0, not 1 to 4194304");
  is(fault([](keyframe& f) {
       auto b = body_of(f);
       b->point_data.push_back(1);
       f.body = b;
     }),
     refusal::points, "7 numbers");
  is(fault([](keyframe& f) {
       auto b = body_of(f);
       b->channel_count = 2;
       f.body = b;
     }),
     refusal::colours, "channels is 2, not 3 or 4");
  is(fault([](keyframe& f) {
       auto b = body_of(f);
       b->colour_data.pop_back();
       f.body = b;
     }),
     refusal::colours, "5 bytes, not 6");
  is(fault([](keyframe& f) {
       auto b = body_of(f);
       b->confidence_data = {1};
       f.body = b;
     }),
     refusal::confidence, "1 values, not 0 or 2");
  keyframe_limits few;
  few.max_points = 1;
  CHECK(check_keyframe(good_frame(), few)->why == refusal::points);
}

TEST_CASE("a rotation with the rounding of a 32-bit producer is rigid") {
  pose p;
  const auto c = std::cos(0.3f), s = std::sin(0.3f);
  p.m = {c, -s, 0, 1, s, c, 0, 2, 0, 0, 1, 3, 0, 0, 0, 1};
  CHECK_FALSE(check_pose(p));
  for (auto& x : p.m)
    x *= 1.0001f;
  p.m[15] = 1;
  CHECK_FALSE(check_pose(p));
  for (size_t i = 12; i < 16; ++i) {
    auto q = p;
    q.m[i] += 0.9f * pose_tolerance;
    CHECK_FALSE(check_pose(q));
    q.m[i] += 0.2f * pose_tolerance;
    CHECK(check_pose(q)->why == refusal::pose);
  }
}

// -- histogram
// ----------------------------------------------------------------------------------------------------------------------

TEST_CASE("a time histogram tells quantiles within its bucket's width") {
  time_histogram h;
  CHECK(h.quantile_s(0.5) == 0);
  for (int i = 1; i <= 1000; ++i)
    h.record(static_cast<uint64_t>(i) * 1000);
  CHECK(h.count() == 1000);
  CHECK(h.total_s() == Approx(0.5005));
  CHECK(h.quantile_s(0.5) == Approx(500e-6).epsilon(0.13));
  CHECK(h.quantile_s(0.99) == Approx(990e-6).epsilon(0.13));
  CHECK(h.at_most(10) == 1000);
  CHECK(h.at_most(1e-9) == 0);
  for (size_t i = 1; i < time_histogram::buckets; ++i)
    CHECK(time_histogram::upper_s(i) > time_histogram::upper_s(i - 1));
  h.record_alone(0);
  h.record_alone(~0ull);
  CHECK(h.count() == 1002);
}

// -- placement
// ----------------------------------------------------------------------------------------------------------------------

TEST_CASE("regions are spread by capacity, and move only to or from the device that changes") {
  placement_table table;
  CHECK_THROWS_AS(table.place({}), std::out_of_range);
  CHECK_THROWS_AS(table.add({0}, 0), std::invalid_argument);
  CHECK_THROWS_AS(table.add({0}, NAN), std::invalid_argument);
  table.add({0}, 1);
  table.add({1}, 1);
  table.add({2}, 2);
  std::vector<region_key> regions;
  for (int32_t x = -10; x < 10; ++x)
    for (int32_t y = -10; y < 10; ++y)
      for (int32_t z = -5; z < 5; ++z)
        regions.push_back({x, y, z});
  auto places = [&] {
    std::vector<device_id> out;
    for (const auto& r : regions)
      out.push_back(table.place(r));
    return out;
  };
  const auto three = places();
  std::array<double, 3> share{};
  for (auto d : three)
    share[d.value] += 1.0 / static_cast<double>(regions.size());
  CHECK(share[0] == Approx(0.25).margin(0.03));
  CHECK(share[1] == Approx(0.25).margin(0.03));
  CHECK(share[2] == Approx(0.5).margin(0.03));
  table.add({3}, 1);
  const auto four = places();
  for (size_t i = 0; i < regions.size(); ++i)
    CHECK((four[i] == three[i] || four[i] == device_id{3}));
  table.remove({3});
  CHECK(places() == three);
  table.remove({1});
  const auto two = places();
  for (size_t i = 0; i < regions.size(); ++i)
    CHECK((two[i] == three[i] || three[i] == device_id{1}));
}

// -- refills
// ------------------------------------------------------------------------------------------------------------------------

TEST_CASE("a refill sends each part once, to all regions that wait for it, and none that was taken out meanwhile") {
  refill_book book;
  const region_key a{0, 0, 0}, b{1, 0, 0};
  book.start(a, {1, 2, 3});
  book.start(b, {2, 4});
  CHECK(book.cancel(a, 3));
  CHECK_FALSE(book.cancel(a, 3));
  CHECK_FALSE(book.cancel(b, 1));
  std::map<uint64_t, size_t> sent;
  while (auto due = book.take())
    sent[due->placement] += due->regions.size();
  CHECK(sent == std::map<uint64_t, size_t>{{1, 1}, {2, 2}, {4, 1}});
  CHECK(book.all_sent(a));
  book.add(a, 1);
  CHECK_FALSE(book.all_sent(a));
  CHECK(book.take()->placement == 1);
  book.finish(a);
  CHECK_FALSE(book.empty());
  book.finish(b);
  CHECK(book.empty());
}

// -- what a viewer lacks
// --------------------------------------------------------------------------------------------------------------

TEST_CASE("a stalled viewer's queue holds the newest patch of each region and nothing else") {
  patch_queue queue{1};
  for (uint64_t version = 1; version <= 1000; ++version)
    for (int32_t x = 0; x < 5; ++x)
      queue.put(a_patch({x, 0, 0}, version));
  CHECK(queue.pending() == 5);
  std::map<int32_t, uint64_t> got;
  while (auto p = queue.take())
    got[p->region.x] = p->version;
  CHECK(got == std::map<int32_t, uint64_t>{{0, 1000}, {1, 1000}, {2, 1000}, {3, 1000}, {4, 1000}});
  queue.put(a_patch({0, 0, 0}, 999));
  CHECK(queue.pending() == 0);
}

TEST_CASE("without a view patches go in their order; with one, near and visible regions go first") {
  patch_queue queue{1};
  for (int32_t x : {5, -3, 0, 9, 2})
    queue.put(a_patch({x, 0, 0}, 1));
  queue.put(a_patch({5, 0, 0}, 2)); // keeps its turn
  CHECK(queue.take()->region.x == 5);
  CHECK(queue.take()->region.x == -3);
  queue.put(a_patch({-3, 0, 0}, 2));
  queue.look({{-1, 0.5f, 0.5f}, {1, 0, 0}});
  std::vector<int32_t> order;
  while (auto p = queue.take())
    order.push_back(p->region.x);
  CHECK(order == std::vector<int32_t>{0, 2, 9, -3}); // -3 is behind
}

TEST_CASE("the most wanted patch is the one that looking at all of them would find") {
  const float region_m = 0.7f;
  patch_queue queue{region_m};
  std::mt19937 random{5};
  std::map<region_key, uint64_t> waits; // its turn
  uint64_t turns = 0, version = 0;
  view from;
  const auto rank = [&](const region_key& region) {
    double distance2 = 0, along = 0, length2 = 0;
    const std::array<int32_t, 3> key{region.x, region.y, region.z};
    for (size_t i = 0; i < 3; ++i) {
      const double to = (static_cast<double>(key[i]) + 0.5) * region_m - from.position[i];
      distance2 += to * to;
      along += to * from.direction[i];
      length2 += static_cast<double>(from.direction[i]) * from.direction[i];
    }
    const auto distance = std::sqrt(distance2), radius = 0.87 * region_m;
    const bool seen = distance <= radius || along / std::sqrt(std::max(length2, 1e-12)) + radius >= 0.5 * distance;
    return seen ? distance : distance + 1e9;
  };
  const auto within = [&](int32_t reach) { return std::uniform_int_distribution<int32_t>{-reach, reach}(random); };
  const auto look = [&] {
    for (size_t i = 0; i < 3; ++i) {
      from.position[i] = static_cast<float>(within(200)) * 0.1f;
      from.direction[i] = static_cast<float>(within(10)); // perhaps nowhere
    }
    queue.look(from);
  };
  look();
  for (int step = 0; step < 20'000; ++step) {
    const auto what = random() % 100;
    if (what < 2) {
      look();
    } else if (what < 52 || (what < 60 && waits.size() < 300)) {
      const auto reach = random() % 20 == 0 ? INT32_MAX : 12;
      const region_key region{within(reach), within(reach), within(reach)};
      waits.try_emplace(region, turns++);
      queue.put(a_patch(region, ++version));
    } else if (const auto p = queue.take()) {
      const auto best = std::min_element(waits.begin(), waits.end(), [&](const auto& a, const auto& b) {
        return std::pair{rank(a.first), a.second} < std::pair{rank(b.first), b.second};
      });
      REQUIRE(p->region == best->first);
      waits.erase(best);
    } else {
      REQUIRE(waits.empty());
    }
    REQUIRE(queue.pending() == waits.size());
  }
}

TEST_CASE("regions that are gone take turns with patches, and not if they came back") {
  patch_queue queue{1};
  for (int32_t x = 0; x < 5; ++x)
    queue.put_gone({{100 + x, 0, 0}, 7});
  queue.put(a_patch({0, 0, 0}, 1));
  queue.put(a_patch({1, 0, 0}, 1));
  queue.put(a_patch({103, 0, 0}, 9));
  CHECK(queue.pending() == 8);
  std::vector<std::pair<int32_t, uint64_t>> order;
  while (auto p = queue.take()) {
    order.emplace_back(p->region.x, p->version);
    CHECK((p->frame == nullptr) == (p->version == 8));
  }
  CHECK(order == std::vector<std::pair<int32_t, uint64_t>>{{104, 8}, {0, 1}, {102, 8}, {1, 1}, {101, 8}, {103, 9}, {100, 8}});
  CHECK(queue.pending() == 0);
  CHECK(queue.unacknowledged() == 300);
}

TEST_CASE("bytes are counted until their newest version is acknowledged") {
  patch_queue queue{1};
  queue.put(a_patch({0, 0, 0}, 1, 100));
  queue.take();
  queue.put(a_patch({0, 0, 0}, 2, 50));
  queue.take();
  CHECK(queue.unacknowledged() == 150);
  queue.acknowledge({{{{0, 0, 0}, 1}, {{9, 9, 9}, 1}}});
  CHECK(queue.unacknowledged() == 150);
  queue.acknowledge({{{{0, 0, 0}, 2}}});
  CHECK(queue.unacknowledged() == 0);
  queue.acknowledge({{{{0, 0, 0}, 2}}});
  CHECK(queue.unacknowledged() == 0);
}

TEST_CASE("what a viewer lacks of a board is found out in pieces") {
  patch_board board;
  CHECK(board.put(a_patch({0, 0, 0}, 3, 100, 2)));
  CHECK_FALSE(board.put(a_patch({0, 0, 0}, 2)));
  CHECK(board.put(a_patch({1, 0, 0}, 1)));
  CHECK(board.regions() == 2);
  const auto picture = board.now();
  CHECK(board.put(a_patch({1, 0, 0}, 2, 56, 0)));       // became empty
  CHECK_FALSE(board.put(a_patch({2, 0, 0}, 1, 56, 0))); // was never shown
  CHECK(board.regions() == 1);
  CHECK(board.vertices() == 6);
  CHECK(board.triangles() == 2);
  CHECK(board.bytes() == 100);
  CHECK(board.all().size() == 1);
  CHECK(board.get({0, 0, 0}).version == 3);
  CHECK(board.get({9, 0, 0}).frame == nullptr);
  using told = std::map<int32_t, uint64_t>; // version by region; of those that are gone the one after
  const auto lacks
    = [](const patch_board::picture& now, const std::vector<held_patch>& have, const std::vector<region_key>& heard = {}) {
        patch_queue queue{1};
        catch_up who{now, have};
        for (const auto& region : heard)
          who.heard(region);
        while (!who.done())
          who.step(queue);
        told out;
        while (auto p = queue.take())
          out[p->region.x] = p->version;
        return out;
      };
  CHECK(lacks(board.now(), {}) == told{{0, 3}});                                       // a late joiner: all that is there
  CHECK(lacks(board.now(), {{{0, 0, 0}, 3}}).empty());                                 // has it
  CHECK(lacks(board.now(), {{{0, 0, 0}, 2}, {{1, 0, 0}, 1}}) == told{{0, 3}, {1, 2}}); // old, and one that is gone
  CHECK(lacks(board.now(), {{{7, 0, 0}, 4}, {{0, 0, 0}, 3}}) == told{{7, 5}});
  CHECK(lacks(picture, {{{0, 0, 0}, 3}}) == told{{1, 1}});                         // what was there then
  CHECK(lacks(picture, {{{7, 0, 0}, 4}}, {{1, 0, 0}, {7, 0, 0}}) == told{{0, 3}}); // of the others there was news since
  std::vector<held_patch> have;
  for (int32_t x = 0; x < 5000; ++x) {
    board.put(a_patch({x, x % 7, -x}, 10));
    if (x % 2 == 0)
      have.push_back({{x, x % 7, -x}, 10});
  }
  patch_queue queue{1};
  catch_up who{board.now(), have};
  size_t steps = 0, most = 0;
  for (size_t had = 0; !who.done(); ++steps, had = queue.pending()) {
    who.step(queue);
    most = std::max(most, queue.pending() - had);
  }
  CHECK(queue.pending() == 2500);
  CHECK(steps >= 10);
  CHECK(most <= catch_up::at_once + 100);
}

TEST_CASE("the board keeps the newest 2,000 cameras, each once") {
  patch_board board;
  for (int i = 0; i < 2500; ++i)
    board.put({camera{{std::to_string(i)}, static_cast<uint64_t>(i), {}, false}});
  CHECK(board.cameras().size() == 2000);
  CHECK(board.cameras().front().id.value == "500");
  board.put({camera{{"600"}, 1, {}, true}, camera{{"601"}, 77, {}, false}});
  CHECK(board.cameras().size() == 1999);
  CHECK(board.cameras()[100].timestamp_ns == 77);
}

TEST_CASE("a token bucket lets bytes through at its rate, and large frames too") {
  token_bucket::clock::time_point now{};
  token_bucket free;
  free.take(1 << 30);
  CHECK(free.wait(now) == std::chrono::nanoseconds{0});
  token_bucket bucket{1000, now};
  uint64_t sent = 0;
  for (int ms = 0; ms < 10'000; ++ms, now += std::chrono::milliseconds{1})
    if (bucket.wait(now) == bucket.wait(now).zero()) {
      bucket.take(350);
      sent += 350;
    }
  CHECK(sent >= 10'000);
  CHECK(sent <= 10'000 + 200 + 350);
}

// -- the rest
// -------------------------------------------------------------------------------------------------------------------------

TEST_CASE("a mesh's digest changes with every array") {
  mesh m;
  m.positions = {1, 2, 3};
  m.normals = {0, 0, 1};
  m.colours = {1, 2, 3};
  m.keys = {7};
  m.indices = {0, 0, 0};
  const auto whole = digest_of(m);
  CHECK(digest_of(mesh{m}) == whole);
  auto differs = [&](auto change) {
    auto other = m;
    change(other);
    return !(digest_of(other) == whole);
  };
  CHECK(differs([](mesh& x) { x.positions[2] = 4; }));
  CHECK(differs([](mesh& x) { x.normals[2] = -1; }));
  CHECK(differs([](mesh& x) { x.colours[2] = 4; }));
  CHECK(differs([](mesh& x) { x.keys[0] = 8; }));
  CHECK(differs([](mesh& x) { x.indices.clear(); }));
  CHECK(differs([](mesh& x) { std::swap(x.positions, x.normals); }));
}

TEST_CASE("an automatic voxel is a hundredth of the median distance, as 1, 2 or 5") {
  auto at = [](float distance) {
    auto frame = good_frame();
    auto body = body_of(frame);
    body->point_data.clear();
    for (int i = 0; i < 101; ++i)
      for (float v : {5 + distance * (0.5f + static_cast<float>(i) / 100), 0.f, 0.f})
        body->point_data.push_back(v);
    body->point_data[1] = std::numeric_limits<float>::quiet_NaN();
    frame.body = body;
    return auto_voxel_m(frame);
  };
  CHECK(at(2) == Approx(0.02));
  CHECK(at(5) == Approx(0.05));
  CHECK(at(0.9f) == Approx(0.01));
  CHECK(at(2000) == Approx(20));
  keyframe none;
  CHECK(auto_voxel_m(none) == 0);
}

TEST_CASE("why no point can be used is told with the bounds") {
  mapping map;
  map.min_confidence = 0.5f;
  CHECK(no_points_text(map, {.out_of_range = 5000}, 0)
        == "no point can be used: 5000 out of range, which is 0.05 to 100 m from the camera (min-range, max-range)");
  CHECK(no_points_text(map, {.not_finite = 2, .low_confidence = 3, .beyond_map = 4}, 5)
        == "no point can be used: 2 not finite, 3 of a confidence below 0.5 (min-confidence), 9 beyond the map, which ends 2^19 "
           "voxels of 0.05 m from the origin");
}

TEST_CASE("the log of set-aside inputs keeps the newest hundred, and counts all by source") {
  aside_log log;
  for (int i = 0; i < 250; ++i)
    log.add(i % 2 == 0 ? "amqp" : "shm", "input " + std::to_string(i), std::string(5000, 'x'));
  for (int i = 0; i < 100; ++i)
    log.add("source " + std::to_string(i), "", "");
  CHECK(log.total() == 350);
  CHECK(log.newest().size() == aside_log::capacity);
  CHECK(log.newest().front().source == "source 99");
  CHECK(log.by_source().at("amqp") == 125);
  CHECK(log.by_source().size() <= aside_log::max_sources + 1);
  log.add("amqp", "", std::string(5000, 'x'));
  CHECK(log.newest().front().reason.size() == aside_log::max_text);
}

TEST_CASE("an input that is set aside is a warning of one line") {
  aside_log log;
  std::vector<std::string> lines;
  log.warn_to([&](severity level, const std::string& text) {
    CHECK(level == severity::warning);
    lines.push_back(text);
  });
  log.add("amqp", "kf\n7", "pose[0][3] is nan, not finite");
  CHECK(lines == std::vector<std::string>{"amqp: kf?7 set aside: pose[0][3] is nan, not finite"});
}

TEST_CASE("a few lines a second are logged, and the next one tells how many were not") {
  log_limit limit;
  log_limit::clock::time_point now{std::chrono::hours{1}};
  uint32_t passed = 0;
  for (int i = 0; i < 100; ++i)
    passed += limit.pass(now).has_value();
  CHECK(passed == log_limit::lines_per_s);
  CHECK_FALSE(limit.pass(now + std::chrono::milliseconds{999}));
  CHECK(limit.pass(now + std::chrono::seconds{1}) == 101 - log_limit::lines_per_s);
  CHECK(limit.pass(now + std::chrono::seconds{1}) == 0u);
}
