// Sums over all regions, without any actor.

#include "actors/map/gatherer.hpp"

#include <catch2/catch.hpp>

using namespace tessera;

namespace {

const region_key a{0, 0, 0}, b{-1, 2, 0};
const auto nothing = [] {};

field_stats field_of(uint64_t blocks) {
  field_stats out;
  out.hash = {blocks, 2 * blocks};
  out.blocks = blocks;
  out.voxels = 10 * blocks;
  return out;
}

} // namespace

TEST_CASE("what is asked of all regions waits for the changes before it, and not for those after") {
  gatherer gathers;
  const auto early = gathers.add(false, 1), late = gathers.add(true, 5);
  const auto done_until = [](uint64_t last) { return [last](uint64_t number) { return number <= last; }; };
  CHECK(gathers.due(done_until(0)).empty());
  CHECK(gathers.due(done_until(4)) == std::vector{early});
  CHECK(gathers.any_waiting());
  gathers.wait(early);
  CHECK(gathers.due(done_until(5)) == std::vector{late, early});
  CHECK_FALSE(gathers.any_waiting());
  CHECK(early->number != late->number);
}

TEST_CASE("a sum is there with the last answer, and nothing of an attempt that was stopped counts") {
  gatherer gathers;
  const auto g = gathers.add(false, 0);
  gathers.start(g);
  const auto first = g->attempt;
  ++g->left;
  CHECK_FALSE(gathers.answered(g, first, nothing));
  CHECK(gathers.running() == std::vector{g});
  gathers.stop(g);
  CHECK(gathers.running().empty());
  CHECK_FALSE(gathers.answered(g, first, [] { FAIL("too late"); }));

  gathers.start(g);
  const auto second = g->attempt;
  CHECK(second > first);
  ++g->left;
  CHECK_FALSE(gathers.answered(g, first, [] { FAIL("too late"); }));
  CHECK_FALSE(gathers.answered(g, second, [&] { g->enter_field(a, {}, field_of(1)); }));
  CHECK(gathers.answered(g, second, nothing));
  CHECK(g->statuses.size() == 1);
  CHECK(gathers.running().empty());
}

TEST_CASE("meshes are sorted by region") {
  gatherer gathers;
  const auto g = gathers.add(true, 0);
  gathers.start(g);
  CHECK(gathers.answered(g, g->attempt, [&] { g->meshes = {{a}, {b}}; }));
  CHECK(g->meshes.front().region == b);
}

TEST_CASE("a region's status is made of what its device and its mesher say, in any order") {
  gathering device_first{}, mesher_first{};
  region_status surface;
  surface.region = a;
  surface.version = 3;
  surface.triangles = 12;
  device_first.enter_field(a, {1}, field_of(4));
  device_first.enter_surface(surface, {1});
  mesher_first.enter_surface(surface, {1});
  mesher_first.enter_field(a, {1}, field_of(4));
  for (const auto* g : {&device_first, &mesher_first}) {
    const auto& status = g->statuses.at(a);
    CHECK(status.region == a);
    CHECK(status.device == device_id{1});
    CHECK(status.field == field_of(4));
    CHECK(status.version == 3);
    CHECK(status.triangles == 12);
  }
}

TEST_CASE("the map's status sums up its regions; those that hold nothing do not count") {
  gathering g{};
  g.enter_field(a, {}, field_of(1));
  g.enter_field(b, {}, field_of(2));
  g.enter_field({9, 9, 9}, {}, {});
  map_settings map;
  map.voxel_m = 0.25f;
  map.region_voxels = 8; // 2 m
  const auto sum = sum_of(g.statuses, map);
  CHECK(sum.field.hash == map_hash{3, 6});
  CHECK(sum.field.voxels == 30);
  CHECK(sum.regions == 2);
  CHECK(sum.bounds == std::array<float, 6>{-2, 0, 0, 2, 6, 2});
  CHECK(sum.voxel_m == 0.25f);
}
