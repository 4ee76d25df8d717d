// What a viewer lacks, and in which order it is sent.

#include "actors/viewers/catch_up.hpp"
#include "actors/viewers/patch_board.hpp"
#include "actors/viewers/patch_queue.hpp"
#include "actors/viewers/token_bucket.hpp"

#include <catch2/catch.hpp>

#include <map>
#include <random>
#include <set>

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

} // namespace

TEST_CASE("a stalled viewer's queue holds the newest patch of each region and nothing else") {
  patch_queue queue{1};
  for (uint64_t version = 1; version <= 1000; ++version)
    for (int32_t x = 0; x < 5; ++x)
      queue.put(a_patch({x, 0, 0}, version));
  CHECK(queue.pending() == 5);
  std::map<int32_t, uint64_t> got;
  while (auto p = queue.take()) {
    got[p->region.x] = p->version;
    queue.count(*p, p->bytes());
  }
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

TEST_CASE("a patch costs no more than so many steps of the search, also where all are as near as each other") {
  patch_queue queue{1};
  size_t count = 0;
  for (int32_t y = 0; y < 150; ++y)
    for (int32_t z = 0; z < 150; ++z, ++count)
      queue.put(a_patch({y % 3, y, z}, 1));
  std::set<std::pair<int32_t, int32_t>> got;
  for (float far : {1e9f, 1e12f, -1e9f}) {
    queue.look({{far, 75, 75}, {far > 0 ? -1.f : 1.f, 0, 0}});
    for (int i = 0; i < 500; ++i) {
      const auto before = queue.opened();
      const auto p = queue.take();
      REQUIRE(p);
      got.emplace(p->region.y, p->region.z);
      CHECK(queue.opened() - before <= patch_queue::most_opened);
    }
  }
  CHECK(got.size() == 1'500);
  // All the same each comes once, and from nearby it is O(log n) each.
  queue.look({{1, 10, 10}, {0, 1, 0}});
  const auto before = queue.opened();
  while (const auto p = queue.take())
    got.emplace(p->region.y, p->region.z);
  CHECK(got.size() == count);
  CHECK(queue.opened() - before < 2 * count);
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
    queue.count(*p, p->bytes());
  }
  CHECK(order == std::vector<std::pair<int32_t, uint64_t>>{{104, 8}, {0, 1}, {102, 8}, {1, 1}, {101, 8}, {103, 9}, {100, 8}});
  CHECK(queue.pending() == 0);
  CHECK(queue.unacknowledged() == 300);
}

TEST_CASE("bytes are counted until their newest version is acknowledged") {
  patch_queue queue{1};
  for (const auto& [version, bytes] : {std::pair{1, 100}, {2, 50}}) {
    queue.put(a_patch({0, 0, 0}, static_cast<uint64_t>(version), static_cast<size_t>(bytes)));
    const auto taken = queue.take();
    queue.count(*taken, taken->bytes());
  }
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
        catch_up::doubts none;
        while (!who.done())
          who.step(queue, none);
        CHECK(none.unknown.empty());
        CHECK(none.newer.empty());
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
  catch_up::doubts none;
  for (size_t had = 0; !who.done(); ++steps, had = queue.pending()) {
    who.step(queue, none);
    most = std::max(most, queue.pending() - had);
  }
  CHECK(queue.pending() == 2500);
  CHECK(steps >= 10);
  CHECK(most <= catch_up::at_once + 100);
}

TEST_CASE("of a board that is not whole yet it is not known what is gone") {
  patch_board board;
  board.put(a_patch({0, 0, 0}, 3));
  board.put(a_patch({2, 0, 0}, 3));
  const std::vector<held_patch> have{{{0, 0, 0}, 5}, {{1, 0, 0}, 1}, {{2, 0, 0}, 3}, {{7, 0, 0}, 4}, {{8, 0, 0}, 4}};
  patch_queue queue{1};
  catch_up who{board.now(), have, false};
  const auto held = who.heard({7, 0, 0});
  REQUIRE(held);
  CHECK(held->version == 4);
  CHECK(!who.heard({7, 0, 0}));
  CHECK(!who.heard({9, 0, 0}));
  catch_up::doubts its;
  while (!who.done())
    who.step(queue, its);
  REQUIRE(its.newer.size() == 1);
  CHECK(its.newer[0].region.x == 0);
  std::set<int32_t> unknown;
  for (const auto& one : its.unknown)
    unknown.insert(one.region.x);
  CHECK(unknown == std::set<int32_t>{1, 8});
}

TEST_CASE("the board lets the frames go that were made the longest ago, and keeps what there is") {
  patch_board board;
  const auto bytes = a_patch({0, 0, 0}, 1).bytes();
  REQUIRE(bytes > 0);
  for (int32_t x = 0; x < 4; ++x)
    board.put(a_patch({x, 0, 0}, 1));
  board.put(a_patch({0, 0, 0}, 2)); // a newer one: the last
  const auto picture = board.now();
  CHECK(board.let_frames_go() == region_key{1, 0, 0});
  CHECK(board.bytes() == 3 * bytes);
  CHECK(board.regions() == 4);
  CHECK(!board.find({1, 0, 0})->encoded());
  CHECK(picture[patch_board::shard_of({1, 0, 0})]->at({1, 0, 0}).encoded()); // whoever has it has it
  board.put(a_patch({1, 0, 0}, 1));                                          // it is made again
  CHECK(board.bytes() == 4 * bytes);
  for (const auto x : {2, 3, 0, 1})
    CHECK(board.let_frames_go() == region_key{x, 0, 0});
  CHECK(!board.let_frames_go());
  CHECK(board.bytes() == 0);
  CHECK(board.regions() == 4);
}

TEST_CASE("the board tells the newest 2,000 cameras, each once") {
  patch_board board;
  for (int i = 0; i < 2500; ++i)
    board.put({camera{{std::to_string(i)}, static_cast<uint64_t>(i), {}, false}});
  CHECK(board.cameras().size() == 2000);
  CHECK(board.cameras().front().id.value == "500");
  board.put({camera{{"600"}, 1, {}, true}, camera{{"601"}, 77, {}, false}});
  CHECK(board.cameras().size() == 2000); // an older one comes back
  CHECK(board.cameras().front().id.value == "499");
  CHECK(board.cameras()[101].timestamp_ns == 77);
}

TEST_CASE("when the newest cameras go the board has the older ones") {
  patch_board board;
  for (int i = 0; i < 2050; ++i)
    board.put({camera{{std::to_string(i)}, 1, {}, false}});
  for (int i = 50; i < 2050; ++i)
    board.put({camera{{std::to_string(i)}, 1, {}, true}});
  REQUIRE(board.cameras().size() == 50);
  CHECK(board.cameras().front().id.value == "0");
  CHECK(board.cameras().back().id.value == "49");
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

TEST_CASE("a patch that was taken may be put back, and what the viewer holds of cells is known") {
  patch_queue queue{1};
  const region_key region{1, 2, 3};
  auto offered = a_patch(region, 4);
  offered.frame = nullptr; // nobody wanted it yet
  queue.put(offered);
  CHECK(queue.take()->version == 4);
  CHECK(queue.pending() == 0);
  CHECK(queue.unacknowledged() == 0);
  queue.put_gone({region, 3}); // it is being made: not gone
  CHECK_FALSE(queue.take());
  queue.put(offered);
  const auto again = queue.take();
  REQUIRE(again);
  CHECK(queue.cells_of(region) == 0);
  queue.count(*again, 70, true);
  CHECK(queue.cells_of(region) == 4);
  CHECK(queue.unacknowledged() == 70);
  queue.put(offered);
  CHECK_FALSE(queue.take());
  queue.forget(region);
  CHECK(queue.cells_of(region) == 0);
  queue.put(offered);
  CHECK(queue.take());
  queue.count(*again, 70, false); // as Draco's mesh
  CHECK(queue.cells_of(region) == 0);
  queue.hold({region, 9}); // came with it
  CHECK(queue.cells_of(region) == 9);
  queue.put(a_patch(region, 10, 100, 0));
  queue.count(*queue.take(), 56, true); // empty
  CHECK(queue.cells_of(region) == 0);
}

TEST_CASE("a board keeps all that was encoded of a version, and nothing of an older one") {
  patch_board board;
  const auto blob_of = [](size_t bytes) { return std::make_shared<const std::vector<std::byte>>(bytes); };
  auto offered = a_patch({1, 0, 0}, 4);
  offered.frame = nullptr;
  CHECK(board.put(offered));
  CHECK_FALSE(board.put(offered));
  CHECK(board.bytes() == 0);
  CHECK(board.regions() == 1);
  auto cells = offered;
  cells.cells = {{0, blob_of(30)}, {3, blob_of(10)}};
  CHECK(board.put(cells));
  CHECK_FALSE(board.put(cells));
  CHECK(board.put(a_patch({1, 0, 0}, 4, 100)));
  cells.cells = {{2, blob_of(20)}, {3, blob_of(10)}};
  CHECK(board.put(cells));
  const auto all = board.get({1, 0, 0});
  CHECK(all.in({})->size() == 100);
  CHECK(all.in({true, 0})->size() == 30);
  CHECK(all.in({true, 2})->size() == 20);
  CHECK(all.in({true, 3})->size() == 10);
  CHECK_FALSE(all.in({true, 1}));
  CHECK(board.bytes() == 160);
  CHECK(board.triangles() == 1);
  offered.version = 5;
  CHECK(board.put(offered));
  CHECK_FALSE(board.get({1, 0, 0}).encoded());
  CHECK_FALSE(board.put(cells)); // older
  offered.no_cells = true;
  offered.frame = blob_of(50);
  CHECK(board.put(offered));
  CHECK(board.get({1, 0, 0}).in({true, 4})->size() == 50);
  CHECK(board.bytes() == 50);
}

TEST_CASE("of one version a board keeps so many frames with cells, however many bases are asked for") {
  patch_board board;
  auto came = patch{};
  came.version = 5;
  came.triangles = 1;
  for (uint64_t base = 0; base < 1'000; ++base) {
    came.cells = {{base, std::make_shared<const std::vector<std::byte>>(10)}};
    CHECK(board.put(came));
  }
  CHECK(board.bytes() == 160);
  CHECK(board.get({}).in({true, 999}));
}
