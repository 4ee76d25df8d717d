#include "net/formats/image.hpp"
#include "running_server.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <set>

using namespace tessera;
using namespace tessera::test;

namespace {

/// A region of which every voxel in the plane is observed.
region_slice full_slice(const map_settings& map) {
  const auto voxels = size_t{map.region_voxels} * map.region_voxels;
  return {{0, 0, 0}, std::vector<float>(voxels, 0.5f), std::vector<uint32_t>(voxels, 7), std::vector<uint8_t>(3 * voxels, 100)};
}

} // namespace

TEST_CASE("A slice is answered as a PNG of the plane that was asked for") {
  running_server s;
  s.map->slice = {{full_slice({})}, 1};
  const auto answer = get(s.http->port(), "/v1/slices?axis=y&at=-0.5&show=distance&area=0,1,0,2&size=200&theme=dark");
  REQUIRE(answer.status == 200);
  CHECK(answer.has("Content-Type: image/png"));
  CHECK(answer.has("Cache-Control: no-store"));
  const auto image = decode_colour(std::as_bytes(std::span{answer.body}));
  CHECK(image.width > 100);
  CHECK(image.rgb[0] == 18);                                                                     // dark
  CHECK(s.map->plane == field_plane{.axis = 1, .layer = -25, .low = {0, 0}, .high = {50, 100}}); // voxels of 2 cm
}

TEST_CASE("A slice that cannot be says which word of the query it is, its value and the bound") {
  running_server s;
  s.map->slice = {{full_slice({})}, 1};
  const auto [query, field, words] = GENERATE(table<const char*, const char*, const char*>({
    {"?axis=w&at=1", "axis", "axis is 'w', and can be x, y or z"},
    {"?at=low", "at", "at is 'low', and can be a number of metres"},
    {"?at=1e9", "at", "at is 1e+09 m; a map with voxels of 0.02 m reaches to 10485.8 m on both sides of 0"},
    {"", "at", "at is missing: a number of metres on the axis"},
    {"?at=1&size=5000", "size", "size is '5000', and can be 100 to 2048 pixels"},
    {"?at=1&area=1,2", "area", "area is '1,2', and can be four numbers of metres, U0,U1,V0,V1, with U0 < U1 and V0 < V1"},
    {"?at=1&show=%zz", "show", "show has a broken escape: %XX"},
    {"?at=1&shows=all", "shows", "the query has a word that means nothing here; it can have axis, at, show, area, size, theme"},
  }));
  INFO(query);
  const auto answer = get(s.http->port(), std::string("/v1/slices") + query);
  CHECK(answer.status == 400);
  CHECK(answer.json()["error"] == "bad_request");
  CHECK(answer.json()["field"] == field);
  CHECK(answer.json()["reason"] == words);
}

TEST_CASE("A plane with nothing in it is not found, one with too much is refused, and neither is a picture") {
  running_server s;
  auto answer = get(s.http->port(), "/v1/slices?at=1");
  CHECK(answer.status == 404);
  CHECK(answer.json()["reason"] == "nothing was observed at z = 1 m");
  s.map->slice.cut = 5000; // regions of 64 voxels
  answer = get(s.http->port(), "/v1/slices?at=1");
  CHECK(answer.status == 422);
  CHECK(answer.json()["error"] == "too_large");
  CHECK_THAT(answer.json()["reason"].get<std::string>(), Catch::Contains("5000 regions, at most 2048"));
}

TEST_CASE("No more than a few slices are made at once; who comes then is told to ask again") {
  running_server s([](server_config& c) { c.timeouts.ask = std::chrono::seconds{120}; });
  s.map->slice = {{full_slice({})}, 1};
  s.map->hold();
  std::vector<std::unique_ptr<client>> clients;
  for (int i = 0; i < 6; ++i) {
    clients.push_back(std::make_unique<client>(s.http->port()));
    clients.back()->send("GET /v1/slices?at=0&size=100 HTTP/1.1\r\nHost: localhost\r\n\r\n");
  }
  CHECK(eventually(
    [&] { return std::count_if(clients.begin(), clients.end(), [](auto& one) { return one->socket().available() > 0; }) == 2; }));
  s.map->release();
  std::multiset<int> statuses;
  for (auto& one : clients)
    statuses.insert(one->receive().status);
  CHECK(statuses == std::multiset{200, 200, 200, 200, 503, 503});
  CHECK(get(s.http->port(), "/v1/slices?at=0&size=100").status == 200);
}
