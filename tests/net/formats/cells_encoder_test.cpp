// The service's encoder of cells: what a viewer who holds some version is sent.

#include "net/formats/cells_encoder.hpp"

#include "net/formats/cells_codec.hpp"
#include "net/formats/patch_codec.hpp"
#include "tests/support/field_mesh.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <map>
#include <random>

using namespace tessera;

namespace {

constexpr int32_t region_voxels = 32;
constexpr float voxel_m = 0.05f;
constexpr region_key region{-1, 0, 2};

/// A surface of a few balls, which come and go.
class balls {
public:
  void change(std::mt19937& random) {
    const auto within = [&](int32_t low, int32_t high) { return std::uniform_int_distribution<int32_t>{low, high}(random); };
    if (!all_.empty() && random() % 2 == 0)
      all_.erase(all_.begin() + within(0, static_cast<int32_t>(all_.size()) - 1));
    else
      all_.push_back({within(-32, 0), within(0, 32), within(64, 96), within(3, 7)});
  }
  void clear() { all_.clear(); }

  [[nodiscard]] region_mesh surface(uint64_t version) const {
    return test::mesh_of_field(
      [this](int32_t x, int32_t y, int32_t z) -> std::optional<test::field_sample> {
        float nearest = 100;
        for (const auto& b : all_)
          nearest
            = std::min(nearest, std::hypot(static_cast<float>(x - b.x), static_cast<float>(y - b.y), static_cast<float>(z - b.z))
                                  - static_cast<float>(b.r) + 0.1f);
        return test::field_sample{nearest, {static_cast<uint8_t>(x * 7), static_cast<uint8_t>(y * 5), 90}};
      },
      region, region_voxels, voxel_m, version);
  }

private:
  struct ball {
    int32_t x, y, z, r;
  };
  std::vector<ball> all_;
};

} // namespace

TEST_CASE("whoever holds a version that cells were sent of is sent what changed, and has the surface then") {
  const auto encode = cells_encoder(voxel_m, region_voxels);
  for (unsigned seed = 0; seed < 5; ++seed) {
    INFO("seed " << seed);
    std::mt19937 random{seed};
    balls field;
    block_history changes;
    std::map<uint64_t, region_cells> held; // by version: what a viewer has who was sent it
    size_t partial = 0, smaller = 0;
    for (uint64_t version = 10; version < 40; version += 1 + random() % 3) {
      field.change(random);
      const auto surface = field.surface(version);
      if (surface.surface->triangles() == 0)
        continue; // told without an encoder
      std::vector<uint64_t> bases{0};
      for (const auto& [base, cells] : held)
        bases.push_back(base);
      patch about;
      about.keyframe_ns = 5;
      const auto frames = encode(surface, about, bases, changes);
      REQUIRE(frames);
      REQUIRE(frames->size() == bases.size());
      CHECK(about.triangles == surface.surface->triangles());
      const auto wanted = decode_cells(*frames->front().bytes, region_voxels);
      CHECK(wanted == *cells_of(surface, voxel_m, region_voxels));
      for (size_t i = 1; i < bases.size(); ++i) {
        const auto& frame = (*frames)[i];
        CHECK(frame.base == bases[i]);
        const auto header = parse_patch_header(*frame.bytes, 2);
        CHECK(header.partial);
        CHECK(header.base_version == frame.base);
        CHECK(header.keyframe_ns == 5);
        CHECK(decode_cells(*frame.bytes, region_voxels, &held.at(frame.base)) == wanted);
        ++partial;
        smaller += frame.bytes->size() < frames->front().bytes->size();
      }
      held[version] = wanted;
    }
    CHECK(partial > 10);
    CHECK(smaller > 0); // as long as little changed
  }
}

TEST_CASE("who holds what the encoder does not remember is sent all, and so is everybody after a surface of Draco's") {
  const auto encode = cells_encoder(voxel_m, region_voxels);
  std::mt19937 random{3};
  balls field;
  block_history changes;
  const auto partial = [&](uint64_t version, uint64_t base) {
    field.change(random);
    patch about;
    const auto frames = encode(field.surface(version), about, {base}, changes);
    REQUIRE(frames);
    CHECK(frames->front().base == base);
    return parse_patch_header(*frames->front().bytes, 2).partial;
  };
  for (int i = 0; i < 6; ++i)
    field.change(random);
  CHECK_FALSE(partial(10, 7)); // of another mesher's
  CHECK(partial(11, 10));
  CHECK_FALSE(partial(12, 9));
  CHECK(partial(13, 10));

  auto no_cells = *field.surface(14).surface;
  std::swap(no_cells.indices[0], no_cells.indices[1]); // not by the table
  patch about;
  CHECK_FALSE(encode({region, 14, std::make_shared<const mesh>(no_cells)}, about, {13}, changes));
  CHECK_FALSE(partial(15, 13));
  CHECK(partial(16, 15));
}

TEST_CASE("blocks that become empty are changes, and stay so until they have something again") {
  block_history changes;
  enter(changes, 4, {{1, 10, 0}, {3, 30, 0}, {9, 90, 0}});
  CHECK(changes.first == 4);
  enter(changes, 6, {{0, 5, 0}, {3, 31, 0}, {9, 90, 0}});
  const auto at = [&](uint32_t slot) {
    for (const auto& one : changes.blocks)
      if (one.slot == slot)
        return std::pair{one.digest, one.changed_at};
    return std::pair{uint64_t{99}, uint64_t{0}};
  };
  CHECK(at(0) == std::pair{uint64_t{5}, uint64_t{6}});
  CHECK(at(1) == std::pair{uint64_t{0}, uint64_t{6}});
  CHECK(at(3) == std::pair{uint64_t{31}, uint64_t{6}});
  CHECK(at(9) == std::pair{uint64_t{90}, uint64_t{4}});
  enter(changes, 7, {{3, 31, 0}, {9, 90, 0}});
  CHECK(at(1) == std::pair{uint64_t{0}, uint64_t{6}}); // nothing still
  enter(changes, 8, {{1, 10, 0}});
  CHECK(at(1) == std::pair{uint64_t{10}, uint64_t{8}});
  CHECK(at(9) == std::pair{uint64_t{0}, uint64_t{8}});
  CHECK(changes.newest == 8);
  CHECK(
    std::is_sorted(changes.blocks.begin(), changes.blocks.end(), [](const auto& a, const auto& b) { return a.slot < b.slot; }));
}
