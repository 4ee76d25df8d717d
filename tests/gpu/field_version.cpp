// What keyframes add to fields is written down by its version: journals and snapshots of regions rely on that.

#include "random_map.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

/// A wavy wall before a camera that stands askew.
keyframe wavy_wall() {
  auto body = std::make_shared<owned_keyframe_body>();
  for (int i = 0; i < 60 * 60; ++i) {
    const int x = i % 60, y = i / 60, wave = x * 7 % 5 + y * 3 % 4;
    for (const int value : {x - 30, y - 30, 64 + wave})
      body->point_data.push_back(static_cast<float>(value) / 32); // exact in any arithmetic
    for (const int value : {x * 4, y * 4, wave * 30})
      body->colour_data.push_back(static_cast<uint8_t>(value));
  }
  keyframe out;
  out.id.value = "wall";
  out.world_from_camera.m = {0, -1, 0, 0.25f, 1, 0, 0, -0.5f, 0, 0, 1, -1, 0, 0, 0, 1};
  out.body = std::move(body);
  return out;
}

} // namespace

TEST_CASE("fields of version 1 are these: raise field_version (gpu/fields.hpp) before you change what is expected here") {
  REQUIRE(field_version == 1);
  const auto map = map_of(16);
  world made(map);
  made.add(request_of(wavy_wall()));
  const auto stats = made.stats();
  CHECK(stats.hash.hi == 0x4f1a92ab214fb730u);
  CHECK(stats.hash.lo == 0xcc89c6a3e58cb097u);
  CHECK(made.regions.size() == 16);
}
