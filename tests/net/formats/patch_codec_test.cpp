#include "net/formats/patch_codec.hpp"
#include "tests/support/left_out.hpp"
#include "tests/support/outside_program.hpp"
#include "tests/support/synthetic_mesh.hpp"

#include <catch2/catch.hpp>

#include <cstring>
#include <map>
#include <random>
#include <set>

using namespace tessera;

namespace {

constexpr float voxel_m = 0.02f;
constexpr float quantum = patch_quantum_m(voxel_m);

using point = std::array<int32_t, 3>;

point grid_point(const mesh& m, uint32_t v) {
  point p{};
  for (size_t a = 0; a < 3; ++a)
    p[a] = static_cast<int32_t>(std::lround(double{m.positions[3 * v + a]} / double{quantum}));
  return p;
}

point grid_point(const decoded_patch& d, uint32_t v) {
  return {d.positions[3 * v], d.positions[3 * v + 1], d.positions[3 * v + 2]};
}

// A triangle as what it is: its corners, begun at the smallest, still going round the same way.
template <class Mesh>
std::multiset<std::array<point, 3>> triangles_of(const Mesh& m) {
  std::multiset<std::array<point, 3>> out;
  for (size_t i = 0; i < m.indices.size(); i += 3) {
    std::array<point, 3> t{grid_point(m, m.indices[i]), grid_point(m, m.indices[i + 1]), grid_point(m, m.indices[i + 2])};
    std::rotate(t.begin(), std::min_element(t.begin(), t.end()), t.end());
    out.insert(t);
  }
  return out;
}

std::string why_not(std::span<const std::byte> frame) {
  try {
    decode_patch(frame);
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "";
}

} // namespace

TEST_CASE("A patch brings back every triangle, the right way round, on the grid") {
  auto from = test::region_of_ground(-30, 34, 50, voxel_m);
  auto p = encode_patch(from, quantum, 123, 456);
  auto d = decode_patch(*p.frame);
  CHECK(d.header.kind == patch_header::patch_kind::surface);
  CHECK(d.header.region == from.region);
  CHECK(d.header.version == from.version);
  CHECK(d.header.keyframe_ns == 123);
  CHECK(d.header.received_ns == 456);
  CHECK(d.header.vertices == from.surface->vertices());
  CHECK(d.header.triangles == from.surface->triangles());
  CHECK(p.triangles == d.header.triangles);
  CHECK(p.vertices == d.header.vertices);
  CHECK(p.version == from.version);
  CHECK(triangles_of(d) == triangles_of(*from.surface));
}

TEST_CASE("Colours come back within half a step, black and white exactly") {
  auto from = test::region_of_ground(0, 40, 40, voxel_m);
  auto d = decode_patch(*encode_patch(from, quantum, 0, 0).frame);
  std::map<point, std::array<uint8_t, 3>> wanted;
  for (uint32_t v = 0; v < from.surface->vertices(); ++v)
    std::memcpy(wanted[grid_point(*from.surface, v)].data(), &from.surface->colours[3 * v], 3);
  REQUIRE(d.colours.size() == d.positions.size());
  int worst = 0;
  for (uint32_t v = 0; v < d.positions.size() / 3; ++v)
    for (size_t a = 0; a < 3; ++a)
      worst = std::max(worst, std::abs(int{d.colours[3 * v + a]} - int{wanted.at(grid_point(d, v))[a]}));
  CHECK(worst <= patch_colour_step / 2);

  mesh plain = test::ground(0, 1, 1, voxel_m);
  plain.colours = {0, 0, 0, 255, 255, 255, 0, 255, 0, 255, 0, 255};
  d = decode_patch(*encode_patch({{}, 1, std::make_shared<const mesh>(plain)}, quantum, 0, 0).frame);
  std::multiset<uint8_t> levels{d.colours.begin(), d.colours.end()};
  CHECK(levels.count(0) == 6);
  CHECK(levels.count(255) == 6);
}

TEST_CASE("Neighbours share the same grid points along their border") {
  auto left = decode_patch(*encode_patch(test::region_of_ground(-64, 0, 64, voxel_m), quantum, 0, 0).frame);
  auto right = decode_patch(*encode_patch(test::region_of_ground(0, 64, 64, voxel_m), quantum, 0, 0).frame);
  auto border = [](const decoded_patch& d) {
    std::set<point> out;
    for (uint32_t v = 0; v < d.positions.size() / 3; ++v)
      if (d.positions[3 * v] == 0)
        out.insert(grid_point(d, v));
    return out;
  };
  CHECK(border(left).size() == 65);
  CHECK(border(left) == border(right));
}

TEST_CASE("Triangles that the grid makes flat are not sent, and nothing opens") {
  mesh m = test::ground(0, 32, 32, voxel_m);
  for (auto& x : m.positions) // all within a few grid steps
    x *= 0.02f;
  const auto p = encode_patch({{}, 1, std::make_shared<const mesh>(m)}, quantum, 0, 0);
  const auto d = decode_patch(*p.frame);
  CHECK(d.header.triangles < m.triangles());
  CHECK(p.triangles == d.header.triangles);
  CHECK(d.header.vertices == p.vertices);
  CHECK(p.vertices == d.positions.size() / 3);
  const auto flat = [](const std::array<point, 3>& t) {
    std::array<int64_t, 3> u{}, v{};
    for (size_t i = 0; i < 3; ++i) {
      u[i] = t[1][i] - t[0][i];
      v[i] = t[2][i] - t[0][i];
    }
    return u[1] * v[2] == u[2] * v[1] && u[2] * v[0] == u[0] * v[2] && u[0] * v[1] == u[1] * v[0];
  };
  std::map<std::pair<point, point>, int> sent, wanted; // sides, one way less the other
  const auto add = [](auto& to, const point& a, const point& b) {
    if (a != b)
      to[std::minmax(a, b)] += a < b ? 1 : -1;
  };
  for (const auto& t : triangles_of(d)) {
    CHECK_FALSE(flat(t));
    for (size_t k = 0; k < 3; ++k)
      add(sent, t[k], t[(k + 1) % 3]);
  }
  for (const auto& t : triangles_of(m))
    for (size_t k = 0; k < 3; ++k)
      add(wanted, t[k], t[(k + 1) % 3]);
  for (auto* sides : {&sent, &wanted})
    std::erase_if(*sides, [](const auto& s) { return s.second == 0; });
  const bool same_rim = sent == wanted;
  CHECK(same_rim);
}

TEST_CASE("A region that the grid makes nothing of is empty") {
  mesh m = test::ground(0, 4, 4, voxel_m);
  for (auto& x : m.positions)
    x *= 0.001f;
  const auto d = decode_patch(*encode_patch({{}, 1, std::make_shared<const mesh>(m)}, quantum, 0, 0).frame);
  CHECK(d.header.kind == patch_header::patch_kind::empty);
}

TEST_CASE("Edges that three triangles share survive") {
  mesh m;
  m.positions = {0, 0, 0, 0, 0, voxel_m, voxel_m, 0, 0, 0, voxel_m, 0, -voxel_m, 0, 0};
  m.colours.assign(15, 100);
  m.normals.assign(15, 0);
  m.keys = {0, 1, 2, 3, 4};
  m.indices = {0, 1, 2, 0, 1, 3, 0, 1, 4};
  auto d = decode_patch(*encode_patch({{}, 1, std::make_shared<const mesh>(m)}, quantum, 0, 0).frame);
  CHECK(triangles_of(d) == triangles_of(m));
}

TEST_CASE("A region without triangles becomes a header alone") {
  for (bool null : {false, true}) {
    region_mesh nothing{{-1, 2, -3}, 9, null ? nullptr : std::make_shared<const mesh>()};
    auto p = encode_patch(nothing, quantum, 1, 2);
    REQUIRE(p.frame->size() == patch_header_bytes);
    auto h = parse_patch_header(*p.frame);
    CHECK(h.kind == patch_header::patch_kind::empty);
    CHECK(h.region == region_key{-1, 2, -3});
    CHECK(h.version == 9);
    CHECK(h.received_ns == 2);
    CHECK(p.triangles == 0);
    CHECK(decode_patch(*p.frame).indices.empty());
  }
}

TEST_CASE("The header lies as the protocol says") {
  auto p = encode_patch({{-2, 3, 0x01020304}, 0x1122334455667788, test::region_of_ground(0, 2, 2, voxel_m).surface}, quantum,
                        0x0102030405060708, 0x0a0b0c0d0e0f1011);
  const auto* at = reinterpret_cast<const unsigned char*>(p.frame->data());
  CHECK(std::memcmp(at, "TSP1\0\1\0\0\xfe\xff\xff\xff\3\0\0\0\4\3\2\1\x09\0\0\0\x88\x77\x66\x55\x44\x33\x22\x11", 32) == 0);
  CHECK(std::memcmp(at + 32, "\x08\x07\x06\x05\x04\x03\x02\x01\x11\x10\x0f\x0e\x0d\x0c\x0b\x0a\x08\0\0\0", 20) == 0);
  uint32_t payload = 0;
  std::memcpy(&payload, at + 52, 4);
  CHECK(payload == p.frame->size() - 56);
  CHECK(std::memcmp(at + 56, "DRACO", 5) == 0);
}

TEST_CASE("A mesh that is none is refused") {
  auto broken = [](auto change) {
    mesh m = test::ground(0, 4, 4, voxel_m);
    change(m);
    encode_patch({{}, 1, std::make_shared<const mesh>(m)}, quantum, 0, 0);
  };
  CHECK_THROWS_WITH(broken([](mesh& m) { m.indices[4] = 1000; }), Catch::Contains("index 1000"));
  CHECK_THROWS_WITH(broken([](mesh& m) { m.positions[4] = NAN; }), Catch::Contains("coordinate"));
  CHECK_THROWS_WITH(broken([](mesh& m) { m.positions[4] = 1e9f; }), Catch::Contains("2^30"));
  CHECK_THROWS_WITH(broken([](mesh& m) { m.colours.pop_back(); }), Catch::Contains("colour"));
  CHECK_THROWS_WITH(broken([](mesh& m) { m.indices.pop_back(); }), Catch::Contains("indices"));
}

TEST_CASE("A frame that is damaged is refused by the field that is wrong") {
  auto whole = *encode_patch(test::region_of_ground(0, 10, 10, voxel_m), quantum, 0, 0).frame;
  REQUIRE(why_not(whole).empty());
  auto with = [&](size_t at, unsigned char value) {
    auto frame = whole;
    frame[at] = std::byte{value};
    return why_not(frame);
  };
  CHECK_THAT(why_not(std::span{whole}.first(55)), Catch::Contains("55 bytes"));
  CHECK_THAT(why_not({}), Catch::Contains("0 bytes"));
  CHECK_THAT(with(0, 'X'), Catch::Contains("magic"));
  CHECK_THAT(with(4, 2), Catch::Contains("kind is 2"));
  CHECK_THAT(with(4, 1), Catch::Contains("empty region with"));
  CHECK_THAT(with(5, 0), Catch::Contains("codec is 0"));
  CHECK_THAT(with(6, 1), Catch::Contains("level is 1"));
  CHECK_THAT(with(7, 255), Catch::Contains("flags are 255"));
  CHECK_THAT(with(48, 1), Catch::Contains("triangles"));
  CHECK_THAT(with(55, 0xff), Catch::Contains("payload_bytes"));
  CHECK_THAT(with(56, 'X'), Catch::Contains("Draco"));
  for (size_t size : {size_t{56}, size_t{57}, size_t{70}, whole.size() - 1})
    CHECK_FALSE(why_not(std::span{whole}.first(size)).empty());
}

TEST_CASE("draco_decoder opens payloads and files") {
  if (!test::is_installed("draco_decoder"))
    return test::left_out("draco_decoder (Debian package draco) is not installed");
  auto from = test::region_of_ground(-20, 20, 30, voxel_m);
  test::scratch_file drc{"in.drc"}, ply{"out.ply"};
  auto decode = [&](std::span<const std::byte> bytes) {
    drc.write(bytes);
    auto done = test::run_program("draco_decoder -i " + drc.path().string() + " -o " + ply.path().string());
    INFO(done.output);
    CHECK(done.status == 0);
    CHECK_THAT(ply.read(), Catch::Contains("element face " + std::to_string(from.surface->triangles())));
  };
  auto frame = encode_patch(from, quantum, 0, 0).frame;
  decode(patch_payload(*frame));
  decode(encode_drc(mesh(*from.surface), quantum));
}

TEST_CASE("An empty map is still a .drc file") {
  CHECK(encode_drc({}, quantum).size() > 4);
}

TEST_CASE("Patches of a hilly ground stay within their byte budget") {
  auto p = encode_patch(test::region_of_ground(0, 64, 64, voxel_m), quantum, 0, 0);
  CHECK(static_cast<double>(p.frame->size()) / p.triangles < 2.1);
}
