#include "net/formats/bit_stream.hpp"
#include "net/formats/cells_codec.hpp"
#include "net/formats/range_coder.hpp"
#include "tests/support/field_mesh.hpp"
#include "tests/support/synthetic_mesh.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <cstring>
#include <fstream>
#include <random>
#include <set>

using namespace tessera;
using test::field_sample;
using test::made_field;
using test::mesh_of_field;

namespace {

constexpr float voxel_m = 0.02f;
constexpr float quantum = patch_quantum_m(voxel_m);

/// Waves and some noise, here and there not observed; some voxels lie on the surface.
made_field waves(uint32_t seed, uint32_t unobserved_percent, float noise) {
  return [=](int32_t x, int32_t y, int32_t z) -> std::optional<field_sample> {
    std::mt19937 random(seed ^ static_cast<uint32_t>(x + 1000) * 73856093u ^ static_cast<uint32_t>(y + 1000) * 19349663u
                        ^ static_cast<uint32_t>(z + 1000) * 83492791u);
    random.discard(2);
    if (random() % 100 < unobserved_percent)
      return std::nullopt;
    const auto phase = static_cast<float>(seed);
    auto distance = std::sin(0.5f * static_cast<float>(x) + phase)
                    + std::cos(0.4f * static_cast<float>(y) + 0.3f * static_cast<float>(z))
                    + noise * (static_cast<float>(random() % 2001) / 1000.f - 1.f);
    if (random() % 16 == 0)
      distance = distance < 0 ? -1e-7f : 0.f;
    return field_sample{distance,
                        {static_cast<uint8_t>(8 * x + static_cast<int32_t>(random() % 20)), static_cast<uint8_t>(5 * y),
                         static_cast<uint8_t>(random())}};
  };
}

grid_triangles wanted(const region_mesh& from) {
  grid_triangles out{grid_places(*from.surface, quantum), from.surface->colours, from.surface->indices};
  for (auto& channel : out.colours)
    channel = static_cast<uint8_t>((channel + 2) / 5 * 5);
  return out;
}

region_cells cells_from(const region_mesh& from, int32_t region_voxels) {
  auto cells = cells_of(from, voxel_m, region_voxels);
  REQUIRE(cells.has_value());
  return *cells;
}

/// A triangle as places and colours, begun at the least.
using corner = std::array<int32_t, 6>;
std::multiset<std::array<corner, 3>> as_a_set(const std::vector<int32_t>& places, const std::vector<uint8_t>& colours,
                                              const std::vector<uint32_t>& indices) {
  std::multiset<std::array<corner, 3>> out;
  for (size_t i = 0; i < indices.size(); i += 3) {
    std::array<corner, 3> t{};
    for (size_t k = 0; k < 3; ++k)
      for (size_t a = 0; a < 3; ++a) {
        t[k][a] = places[3 * indices[i + k] + a];
        t[k][3 + a] = colours[3 * indices[i + k] + a];
      }
    std::rotate(t.begin(), std::min_element(t.begin(), t.end()), t.end());
    out.insert(t);
  }
  return out;
}

bool is_flat(const grid_triangles& of, size_t first) {
  std::array<int64_t, 3> u{}, v{};
  for (size_t a = 0; a < 3; ++a) {
    const auto at = [&](size_t k) { return int64_t{of.places[3 * of.indices[first + k] + a]}; };
    u[a] = at(1) - at(0);
    v[a] = at(2) - at(0);
  }
  return u[1] * v[2] == u[2] * v[1] && u[2] * v[0] == u[0] * v[2] && u[0] * v[1] == u[1] * v[0];
}

std::string why_not(std::span<const std::byte> frame, int32_t region_voxels, const region_cells* held = nullptr) {
  try {
    decode_cells(frame, region_voxels, held);
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "";
}

/// Decodes what may be broken: an error, or a mesh that is sound and as large as its header says.
void decode_broken(std::span<const std::byte> frame, int32_t region_voxels, const region_cells* held) {
  region_cells cells;
  try {
    cells = decode_cells(frame, region_voxels, held);
  } catch (const std::invalid_argument& e) {
    CHECK(e.what()[0] != '\0');
    return;
  }
  const auto header = parse_patch_header(frame, 2);
  const auto mesh = triangles_of(cells);
  REQUIRE(mesh.indices.size() == 3 * size_t{header.triangles});
  REQUIRE(mesh.places.size() == 3 * size_t{header.vertices});
  for (const auto i : mesh.indices)
    REQUIRE(i < header.vertices);
  for (size_t i = 0; i < mesh.indices.size(); i += 3)
    REQUIRE_FALSE(is_flat(mesh, i));
}

std::vector<std::byte> bytes_of(const std::string& hex) {
  std::vector<std::byte> out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    out.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}

} // namespace

TEST_CASE("Cells give every triangle back, in the order of the mesh") {
  for (uint32_t seed = 0; seed < 12; ++seed) {
    const int32_t region_voxels = seed % 3 == 0 ? 8 : seed % 3 == 1 ? 16 : 24;
    const region_key region{static_cast<int32_t>(seed) - 5, 1 - static_cast<int32_t>(seed) % 4, -2};
    const auto from = mesh_of_field(waves(seed, seed % 4 * 5, seed < 6 ? 0.1f : 2.f), region, region_voxels, voxel_m, 40 + seed);
    INFO("seed " << seed << ", " << from.surface->triangles() << " triangles");
    REQUIRE(from.surface->triangles() > 50);
    const auto cells = cells_from(from, region_voxels);
    const auto p = encode_cells(cells, 123, 456);
    CHECK(p.triangles == from.surface->triangles());
    CHECK(p.vertices == from.surface->vertices());
    CHECK(p.version == from.version);
    const auto header = parse_patch_header(*p.frame, 2);
    CHECK(header.codec == 2);
    CHECK_FALSE(header.partial);
    CHECK(header.keyframe_ns == 123);
    CHECK(header.received_ns == 456);
    const auto back = decode_cells(*p.frame, region_voxels);
    const bool same_cells = back == cells, same_triangles = triangles_of(back) == wanted(from);
    CHECK(same_cells);
    CHECK(same_triangles);
  }
}

TEST_CASE("Both codecs give the same triangles") {
  for (uint32_t seed = 20; seed < 24; ++seed) {
    const auto from = mesh_of_field(waves(seed, 10, 1.f), {1, 0, -1}, 16, voxel_m);
    const auto draco = decode_patch(*encode_patch(from, quantum, 0, 0).frame);
    const auto cells = triangles_of(decode_cells(*encode_cells(cells_from(from, 16), 0, 0).frame, 16));
    const bool same
      = as_a_set(draco.positions, draco.colours, draco.indices) == as_a_set(cells.places, cells.colours, cells.indices);
    CHECK(same);
    CHECK(draco.indices.size() == 3 * from.surface->triangles());
  }
}

TEST_CASE("Changes onto what is held give the same as the whole") {
  std::mt19937 random(7);
  constexpr int32_t region_voxels = 24;
  for (int sequence = 0; sequence < 6; ++sequence) {
    // Balls come and go: blocks change, fill and become empty.
    struct ball {
      float x, y, z, radius;
    };
    std::vector<ball> balls;
    std::optional<region_cells> held;
    std::vector<block_digest> digests;
    const region_key region{sequence - 3, 0, 2};
    uint64_t version = 1;
    size_t partial_bytes = 0, whole_bytes = 0;
    for (int step = 0; step < 12; ++step) {
      if (step % 3 == 2 && !balls.empty())
        balls.erase(balls.begin() + static_cast<std::ptrdiff_t>(random() % balls.size()));
      else
        balls.push_back({static_cast<float>(random() % 26), static_cast<float>(random() % 26), static_cast<float>(random() % 26),
                         2.2f + static_cast<float>(random() % 30) / 10});
      const auto field = [&](int32_t x, int32_t y, int32_t z) -> std::optional<field_sample> {
        float nearest = 100;
        for (const auto& b : balls)
          nearest = std::min(nearest, std::hypot(static_cast<float>(x - region.x * region_voxels) - b.x,
                                                 static_cast<float>(y - region.y * region_voxels) - b.y,
                                                 static_cast<float>(z - region.z * region_voxels) - b.z)
                                        - b.radius);
        return field_sample{nearest, {static_cast<uint8_t>(9 * x), static_cast<uint8_t>(7 * y), static_cast<uint8_t>(z)}};
      };
      const auto now = cells_from(mesh_of_field(field, region, region_voxels, voxel_m, ++version), region_voxels);
      if (now.cells.empty()) {
        held.reset();
        continue;
      }
      const auto whole = encode_cells(now, 0, 0);
      if (held) {
        const auto changes = changes_between(*held, now);
        CHECK(changes == changes_between(held->version, digests, digests_of(now)));
        const auto partial = encode_cells(now, 0, 0, &changes);
        CHECK(parse_patch_header(*partial.frame, 2).partial);
        CHECK(parse_patch_header(*partial.frame, 2).base_version == held->version);
        CHECK(partial.triangles == whole.triangles);
        partial_bytes += partial.frame->size();
        whole_bytes += whole.frame->size();
        const auto after = decode_cells(*partial.frame, region_voxels, &*held);
        const bool same = after == now;
        REQUIRE(same);
        // It builds on nothing else.
        CHECK_THAT(why_not(*partial.frame, region_voxels), Catch::Contains("none is held"));
        auto other = *held;
        other.version += 1000;
        CHECK_THAT(why_not(*partial.frame, region_voxels, &other), Catch::Contains("which is held"));
        if (!changes.slots.empty() && !held->cells.empty()) {
          other = {
            .region = region, .version = held->version, .region_voxels = region_voxels, .blocks = {}, .cells = {}, .edges = {}};
          const auto why = why_not(*partial.frame, region_voxels, &other);
          CHECK((!why.empty() || changes.slots.size() >= now.blocks.size()));
        }
      }
      const auto alone = decode_cells(*whole.frame, region_voxels);
      const bool same = alone == now;
      REQUIRE(same);
      held = alone;
      digests = digests_of(now);
    }
    CHECK(partial_bytes < whole_bytes);
  }
}

TEST_CASE("A patch in which nothing but the version changed is a few bytes") {
  auto cells = cells_from(mesh_of_field(waves(3, 0, 0.1f), {}, 16, voxel_m, 4), 16);
  const auto held = cells;
  cells.version = 9;
  const auto changes = changes_between(held, cells);
  CHECK(changes.slots.empty());
  const auto p = encode_cells(cells, 0, 0, &changes);
  CHECK(p.frame->size() < patch_header_bytes + 20);
  const bool same = decode_cells(*p.frame, 16, &held) == cells;
  CHECK(same);
}

TEST_CASE("A block has changed if anything of its record has") {
  const auto base = cells_from(mesh_of_field(waves(5, 5, 0.3f), {}, 16, voxel_m, 1), 16);
  auto now = base;
  now.version = 2;
  const auto& block = now.blocks[3];
  const changed_blocks one{1, {block.slot}};
  CHECK(changes_between(base, now).slots.empty());
  auto& edge = now.edges[block.end_of_edges - 1];
  for (auto& channel : edge.colour) {
    channel = static_cast<uint8_t>(channel ^ 1);
    CHECK(changes_between(base, now) == one);
    channel = static_cast<uint8_t>(channel ^ 1);
  }
  edge.fraction = static_cast<uint8_t>(edge.fraction % 31 + 1);
  CHECK(changes_between(base, now) == one);
  const auto after = decode_cells(*encode_cells(now, 0, 0, &one).frame, 16, &base);
  const bool same = after == now;
  CHECK(same);
  now.edges = base.edges;
  now.cells[block.end_of_cells - 1].inside ^= 1;
  CHECK(changes_between(base, now) == one);
}

TEST_CASE("A partial patch does not change edges of blocks that it does not touch") {
  const auto now = cells_from(mesh_of_field(waves(5, 5, 0.3f), {}, 16, voxel_m, 2), 16);
  auto held = now;
  held.version = 1;
  const changed_blocks one{1, {held.blocks[0].slot}};
  const auto frame = *encode_cells(now, 0, 0, &one).frame;
  CHECK(why_not(frame, 16, &held).empty());
  auto& edge = held.edges[held.blocks[1].end_of_edges - 1].edge;
  edge = static_cast<uint16_t>(edge + 1);
  CHECK_THAT(why_not(frame, 16, &held), Catch::Contains("but not the block"));
}

TEST_CASE("Decisions made by hand, as the specification's example has them") {
  // What comes after the first cell's place: the bits of its corners, and then.
  const auto frame_of = [](bool has_corner, bool again) {
    std::array<bit_context, 8> touched{};
    std::array<bit_context, 27> corner{};
    bit_context more_first, more_next, active;
    range_encoder to({});
    to.put(touched[0], 1);
    for (const size_t context : {1, 2, 0, 4, 0, 0, 0})
      to.put(touched[context], 0);
    to.put(more_first, 1);
    to.put_plain(355, 9);
    to.put(corner[0], has_corner ? 1 : 0);
    if (has_corner)
      for (const size_t context : {18, 6, 12, 2, 10, 4, 13})
        to.put(corner[context], 0);
    else
      for (const size_t context : {9, 3, 12, 1, 10, 4, 13})
        to.put(corner[context], 0);
    for (int i = 0; i < 3; ++i)
      to.put(active, 0);
    to.put(more_next, again ? 1 : 0);
    if (again)
      to.put_plain(355, 9);
    const auto code = to.finish();
    auto frame = bytes_of("5453503100020000000000000000000000000000030000000700000000000000"
                          "6f00000000000000de00000000000000010000000000000000000000");
    frame[56] = static_cast<std::byte>(code.size());
    frame.insert(frame.begin() + 60, code.begin(), code.end());
    const auto bits = bytes_of("40100027002854be");
    frame.insert(frame.end(), bits.begin(), bits.end());
    frame[52] = static_cast<std::byte>(frame.size() - patch_header_bytes);
    return frame;
  };
  CHECK(triangles_of(decode_cells(frame_of(true, false), 8)).places
        == std::vector<int32_t>{104, 128, 160, 96, 144, 160, 96, 128, 171});
  CHECK_THAT(why_not(frame_of(true, true), 8), Catch::Contains("second time"));
  CHECK_THAT(why_not(frame_of(false, false), 8), Catch::Contains("all corners on one side"));
}

TEST_CASE("Broken cells are an error or a sound mesh") {
  const auto first = cells_from(mesh_of_field(waves(1, 5, 0.3f), {0, -1, 2}, 8, voxel_m, 1), 8);
  const auto second = cells_from(mesh_of_field(waves(1, 5, 0.32f), {0, -1, 2}, 8, voxel_m, 2), 8);
  const auto changes = changes_between(first, second);
  REQUIRE(!changes.slots.empty());
  for (const auto* only : {static_cast<const changed_blocks*>(nullptr), &changes}) {
    const auto whole = *encode_cells(second, 0, 0, only).frame;
    for (size_t bit = 8 * patch_header_bytes; bit < 8 * whole.size(); ++bit) {
      auto broken = whole;
      broken[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
      decode_broken(broken, 8, &first);
    }
    for (auto size = patch_header_bytes; size < whole.size(); ++size) {
      std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      const auto payload_bytes = static_cast<uint32_t>(size - patch_header_bytes);
      std::memcpy(&cut[52], &payload_bytes, sizeof payload_bytes);
      CHECK_FALSE(why_not(cut, 8, &first).empty());
    }
    auto longer = whole;
    longer.push_back(std::byte{0});
    const auto payload_bytes = static_cast<uint32_t>(longer.size() - patch_header_bytes);
    std::memcpy(&longer[52], &payload_bytes, sizeof payload_bytes);
    CHECK_THAT(why_not(longer, 8, &first), Catch::Contains("more bits"));
  }
}

TEST_CASE("Random bytes are no cells, and cost little") {
  std::mt19937 random(99);
  const auto frame = *encode_cells(cells_from(mesh_of_field(waves(1, 0, 0.3f), {}, 8, voxel_m), 8), 0, 0).frame;
  for (int i = 0; i < 300; ++i) {
    std::vector<std::byte> bytes(frame.begin(), frame.begin() + patch_header_bytes);
    bytes.resize(patch_header_bytes + 5 + random() % 60);
    const auto payload_bytes = static_cast<uint32_t>(bytes.size() - patch_header_bytes), most = UINT32_MAX;
    const uint32_t code_bytes = static_cast<uint32_t>(random()) % (payload_bytes - 3);
    std::memcpy(&bytes[48], &most, sizeof most); // as many triangles as it likes
    std::memcpy(&bytes[52], &payload_bytes, sizeof payload_bytes);
    std::memcpy(&bytes[56], &code_bytes, sizeof code_bytes);
    const auto like = random() % 3; // all zeros and all ones are the likeliest to run on
    for (size_t at = 60; at < bytes.size(); ++at)
      bytes[at] = like == 0   ? std::byte{0}
                  : like == 1 ? static_cast<std::byte>(at == 60 ? 254 : 255)
                              : static_cast<std::byte>(random());
    CHECK_FALSE(why_not(bytes, 64).empty());
  }
}

TEST_CASE("Far from the origin there are no cells") {
  const auto field = [](int32_t x, int32_t y, int32_t z) -> std::optional<field_sample> {
    return field_sample{static_cast<float>((x & 15) + (y & 15) - (z & 15)) - 5.3f, {}};
  };
  CHECK(cells_of(mesh_of_field(field, {1000, 0, 0}, 16, voxel_m), voxel_m, 16).has_value());
  CHECK_FALSE(cells_of(mesh_of_field(field, {(1 << 15) - 100, 0, 0}, 16, voxel_m), voxel_m, 16).has_value());
}

TEST_CASE("What is not the mesh of a region has no cells") {
  const auto from = mesh_of_field(waves(2, 0, 0.1f), {}, 16, voxel_m);
  const auto changed = [&](auto change) {
    mesh m = *from.surface;
    change(m);
    return cells_of({{}, 1, std::make_shared<const mesh>(m)}, voxel_m, 16).has_value();
  };
  CHECK(changed([](mesh&) {}));
  CHECK_FALSE(changed([](mesh& m) { m.indices.resize(m.indices.size() - 3); }));
  CHECK_FALSE(changed([](mesh& m) { std::swap(m.indices[0], m.indices[1]); }));
  CHECK_FALSE(changed([](mesh& m) { std::rotate(m.indices.begin(), m.indices.begin() + 3, m.indices.end()); }));
  CHECK_FALSE(changed([](mesh& m) { m.indices[7] = 1u << 30; }));
  CHECK_FALSE(changed([](mesh& m) { m.colours.pop_back(); }));
  CHECK_FALSE(changed([](mesh& m) { std::swap(m.keys[0], m.keys[1]); }));
  CHECK_FALSE(changed([](mesh& m) { m.keys[5] |= 3; }));
  CHECK_FALSE(changed([](mesh& m) { m.positions[4] += voxel_m; }));
  CHECK_FALSE(cells_of(from, voxel_m, 8).has_value()); // larger than that region
  CHECK_FALSE(cells_of({{1, 0, 0}, 1, from.surface}, voxel_m, 16).has_value());
  CHECK_FALSE(cells_of(from, voxel_m, 12).has_value());
  CHECK_FALSE(cells_of(from, voxel_m, 264).has_value());
  CHECK_FALSE(cells_of(test::region_of_ground(0, 16, 16, voxel_m), voxel_m, 16).has_value());
}

TEST_CASE("Cells that cannot be encoded are refused") {
  auto cells = cells_from(mesh_of_field(waves(2, 0, 0.1f), {}, 16, voxel_m, 5), 16);
  const auto encode = [&](uint64_t base_version, std::vector<uint32_t> slots) {
    const changed_blocks only{base_version, std::move(slots)};
    encode_cells(cells, 0, 0, &only);
  };
  CHECK_THROWS_WITH(encode(5, {}), Catch::Contains("base version 5"));
  CHECK_THROWS_WITH(encode(1, {3, 2}), Catch::Contains("out of order"));
  CHECK_THROWS_WITH(encode(1, {27}), Catch::Contains("27 of 27"));
  cells.cells[5].inside = static_cast<uint8_t>(~cells.cells[5].inside);
  CHECK_THROWS_WITH(encode_cells(cells, 0, 0), Catch::Contains("disagrees"));
}

TEST_CASE("A region without cells is a header alone") {
  const region_mesh nothing{{1, 2, 3}, 9, std::make_shared<const mesh>()};
  const auto p = encode_cells(cells_from(nothing, 16), 1, 2);
  CHECK(p.frame->size() == patch_header_bytes);
  const auto back = decode_cells(*p.frame, 16);
  CHECK(back.cells.empty());
  CHECK(back.version == 9);
  CHECK(triangles_of(back).indices.empty());
}

TEST_CASE("Only who asks for codec 2 gets it") {
  const auto from = mesh_of_field(waves(2, 0, 0.1f), {}, 16, voxel_m, 5);
  auto frame = *encode_cells(cells_from(from, 16), 0, 0).frame;
  CHECK_THROWS_WITH(parse_patch_header(frame), Catch::Contains("codec is 2, not 1"));
  CHECK_THROWS_WITH(decode_patch(frame), Catch::Contains("codec is 2, not 1"));
  CHECK(parse_patch_header(frame, 2).codec == 2);
  CHECK_THAT(why_not(*encode_patch(from, quantum, 0, 0).frame, 16), Catch::Contains("codec is 1, not 2"));
  frame[7] = std::byte{2};
  CHECK_THROWS_WITH(parse_patch_header(frame, 2), Catch::Contains("flags are 2"));
  frame[7] = std::byte{1};
  const uint64_t base = 5;
  std::memcpy(&frame[56], &base, sizeof base);
  CHECK_THROWS_WITH(parse_patch_header(frame, 2), Catch::Contains("base version is 5"));
  frame[5] = std::byte{1};
  CHECK_THROWS_WITH(parse_patch_header(frame, 2), Catch::Contains("flags are 1"));
  frame[5] = std::byte{3};
  CHECK_THROWS_WITH(parse_patch_header(frame, 2), Catch::Contains("codec is 3"));
}

TEST_CASE("The written vectors of cells are decoded and encoded as they stand") {
  std::ifstream file(TESSERA_SOURCE_DIR "/tests/net/formats/cells_vector.json");
  const auto vectors = nlohmann::json::parse(file);
  REQUIRE(vectors.size() == 2);
  for (const auto& v : vectors) {
    INFO(v["name"]);
    const auto region_voxels = v["region_voxels"].get<int32_t>();
    std::optional<region_cells> held;
    for (const auto& before : v["frames_before"])
      held = decode_cells(bytes_of(before), region_voxels, held ? &*held : nullptr);
    const auto frame = bytes_of(v["frame"]);
    const auto cells = decode_cells(frame, region_voxels, held ? &*held : nullptr);
    const auto got = triangles_of(cells);
    CHECK(got.places == v["places"].get<std::vector<int32_t>>());
    CHECK(got.colours == v["colours"].get<std::vector<uint8_t>>());
    CHECK(got.indices == v["indices"].get<std::vector<uint32_t>>());
    const auto header = parse_patch_header(frame, 2);
    const auto changes = held ? changes_between(*held, cells) : changed_blocks{};
    const bool same = *encode_cells(cells, header.keyframe_ns, header.received_ns, held ? &changes : nullptr).frame == frame;
    CHECK(same);
  }
}

TEST_CASE("A range code brings back its decisions, whatever they are") {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    const uint32_t likely = seed % 5 * 60; // of 256
    const size_t length = random() % 3000;
    struct decision {
      size_t context;
      uint32_t value, bits; ///< bits: 0 for one in a context
    };
    std::vector<decision> decisions;
    for (size_t i = 0; i < length; ++i)
      if (const auto bits = static_cast<uint32_t>(random() % 8 == 0 ? 1 + random() % 16 : 0); bits != 0)
        decisions.push_back({0, static_cast<uint32_t>(random()) & ((1u << bits) - 1), bits});
      else
        decisions.push_back({random() % 4, random() % 256 < likely ? 1u : 0u, 0});
    range_encoder to(std::vector<std::byte>(3, std::byte{255}));
    std::array<bit_context, 4> contexts{};
    for (const auto& d : decisions)
      if (d.bits != 0)
        to.put_plain(d.value, d.bits);
      else
        to.put(contexts[d.context], d.value);
    const auto bytes = to.finish();
    REQUIRE(bytes.size() >= 3);
    CHECK((bytes[0] == std::byte{255} && bytes[1] == std::byte{255} && bytes[2] == std::byte{255})); // no carry goes so far
    range_decoder from(std::span{bytes}.subspan(3));
    contexts = {};
    bool same = true;
    for (const auto& d : decisions)
      same &= d.value == (d.bits != 0 ? from.get_plain(d.bits) : from.get(contexts[d.context]));
    CHECK(same);
    CHECK(from.left() == 0);
  }
  CHECK_THROWS_AS(range_decoder(std::vector<std::byte>(4, std::byte{255})), std::invalid_argument);
  // After the end there are four zeros, and no more.
  const std::vector<std::byte> one_byte(1);
  range_decoder from(one_byte);
  CHECK(from.get_plain(8) == 0);
  CHECK_THROWS_WITH(from.get_plain(16), Catch::Contains("ends too early"));
}
