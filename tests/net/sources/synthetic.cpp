#include "net/sources/synthetic/synthetic_scan.hpp"

#include "net/sources/source_table.hpp"
#include "recording_sink.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>

using namespace tessera;

namespace {

/// Of exact arithmetic in 32-bit floats over a few metres.
constexpr float rounding_m = 5e-6f;

uint64_t digest(const keyframe& k) {
  uint64_t h = 0;
  for (float v : k.body->points())
    h = hash_of(h, std::bit_cast<uint32_t>(v));
  for (uint8_t c : k.body->colours())
    h = hash_of(h, c);
  for (float v : k.world_from_camera.m)
    h = hash_of(h, std::bit_cast<uint32_t>(v));
  return h;
}

synthetic_options small() {
  synthetic_options o;
  o.width = o.height = 48;
  return o;
}

} // namespace

TEST_CASE("without noise every point of the room's scan lies on its surface") {
  synthetic_scan scan("room", small());
  for (uint64_t i = 0; i < scan.per_loop(); i += 11) {
    auto k = scan.make(i);
    REQUIRE(k.body->size() == 48 * 48);
    auto p = k.body->points();
    for (size_t j = 0; j < k.body->size(); ++j)
      REQUIRE(room_distance(p[3 * j], p[3 * j + 1], p[3 * j + 2]) < rounding_m);
  }
}

TEST_CASE("a scan shows what casting each ray by itself shows") {
  synthetic_scan scan("room", small());
  for (uint64_t i : {0u, 63u, 130u}) {
    auto k = scan.make(i);
    const auto& m = k.world_from_camera.m;
    vec3 origin{m[3], m[7], m[11]};
    auto p = k.body->points();
    auto c = k.body->colours();
    for (size_t j = 0; j < k.body->size(); j += 5) {
      vec3 direction = normalised(vec3{p[3 * j], p[3 * j + 1], p[3 * j + 2]} - origin);
      auto hit = room_cast(origin, direction);
      REQUIRE(hit);
      vec3 at = origin + direction * hit->t;
      // At a silhouette the rounding of the direction may tell the other surface.
      float off = length(at - vec3{p[3 * j], p[3 * j + 1], p[3 * j + 2]});
      if (off < 1e-4f)
        REQUIRE(std::abs(hit->colour[0] - c[3 * j]) < 60);
      else
        REQUIRE(room_distance(at.x, at.y, at.z) < rounding_m);
      REQUIRE(dot(hit->normal, direction) < 0);
    }
  }
}

TEST_CASE("the room's distance is exact in free space") {
  // Along a ray through free space the distance is never more than what is left of the ray, and reached where
  // surfaces face it.
  vec3 origin{0, -1.5f, 1.5f};
  uint64_t state = 5;
  for (int i = 0; i < 3000; ++i) {
    state = hash_of(state, 1);
    vec3 direction{bell_float(state), bell_float(hash_of(state, 2)), bell_float(hash_of(state, 3))};
    direction = normalised(direction);
    auto hit = room_cast(origin, direction);
    REQUIRE(hit);
    for (float share : {0.1f, 0.5f, 0.9f}) {
      vec3 p = origin + direction * (hit->t * share);
      float d = room_distance(p.x, p.y, p.z);
      REQUIRE(d <= hit->t * (1 - share) + rounding_m);
      // Nothing is nearer in any direction: the ball of that radius is free.
      for (int k = 0; k < 8; ++k) {
        vec3 probe = normalised(
          {bell_float(hash_of(state, 10 + k)), bell_float(hash_of(state, 20 + k)), bell_float(hash_of(state, 30 + k))});
        auto other = room_cast(p, probe);
        REQUIRE(other);
        REQUIRE(other->t >= d - rounding_m);
      }
    }
  }
}

TEST_CASE("behind a surface the distance is that to the visible one") {
  CHECK(room_distance(1.5f, -1.5f, -0.02f) == Approx(0.02f).margin(1e-6));
  CHECK(room_distance(1.5f, -2.52f, 0.5f) == Approx(0.02f).margin(1e-6));
  // Under a crate, 10 cm from its edge: the floor there is not to be seen.
  CHECK(room_distance(-2.05f, 1.85f, -0.005f) == Approx(std::sqrt(0.1f * 0.1f + 0.005f * 0.005f)).margin(1e-5));
  // Inside the lower crate's top, below the upper crate's middle: the way out is sideways, not to the hidden
  // face.
  CHECK(room_distance(-2.35f, 1.9f, 0.69f) > 0.2f);
  // In the room's corner, outside of three walls at once.
  CHECK(room_distance(3.01f, -2.51f, 2.71f) == Approx(std::sqrt(3.0f) * 0.01f).margin(1e-5));
}

TEST_CASE("noise and outliers are what was asked for") {
  auto o = small();
  o.width = o.height = 128;
  synthetic_scan clean("room", o);
  o.noise_m = 0.01f;
  synthetic_scan noisy("room", o);
  o.noise_m = 0;
  o.outliers = 0.1f;
  synthetic_scan dirty("room", o);
  auto a = clean.make(20), b = noisy.make(20), c = dirty.make(20);
  REQUIRE(a.body->size() == b.body->size());
  double sum = 0, squares = 0;
  size_t moved = 0;
  const auto& m = a.world_from_camera.m;
  vec3 eye{m[3], m[7], m[11]};
  auto range = [&](const keyframe& k, size_t j) {
    auto p = k.body->points();
    return static_cast<double>(length(vec3{p[3 * j], p[3 * j + 1], p[3 * j + 2]} - eye));
  };
  auto n = static_cast<double>(a.body->size());
  for (size_t j = 0; j < a.body->size(); ++j) {
    double d = range(b, j) - range(a, j);
    sum += d;
    squares += d * d;
    moved += std::abs(range(c, j) - range(a, j)) > 1e-4;
  }
  CHECK(std::abs(sum / n) < 3e-4);
  CHECK(std::sqrt(squares / n) == Approx(0.01).epsilon(0.03));
  CHECK(static_cast<double>(moved) / n == Approx(0.1).epsilon(0.15));
}

TEST_CASE("a keyframe depends on the options and its index alone") {
  auto o = small();
  o.noise_m = 0.01f;
  o.outliers = 0.05f;
  synthetic_scan one("room", o), two("room", o);
  CHECK(digest(one.make(3)) == digest(two.make(3)));
  CHECK(digest(one.make(3)) != digest(one.make(203))); // same place, next round
  CHECK(one.make(3).world_from_camera == one.make(203).world_from_camera);
  CHECK(one.make(3).id != one.make(203).id);
  o.seed = 2;
  CHECK(digest(synthetic_scan("room", o).make(3)) != digest(one.make(3)));
  // Fixed for all machines and compilers: only + - * / sqrt and floor may be used.
  CHECK(digest(one.make(3)) == 0x45a16d254d735373u);
}

TEST_CASE("the way through the room is smooth, closed and in free space") {
  synthetic_scan scan("room", small());
  for (uint64_t i = 0; i < scan.per_loop(); ++i) {
    auto a = scan.camera(i).m, b = scan.camera(i + 1).m;
    vec3 pa{a[3], a[7], a[11]}, pb{b[3], b[7], b[11]};
    CHECK(room_distance(pa.x, pa.y, pa.z) > 0.2f);
    CHECK(length(pb - pa) < 0.15f);
    CHECK(a[2] * b[2] + a[6] * b[6] + a[10] * b[10] > 0.93f); // turns by 21 degrees at most
    vec3 r{a[0], a[4], a[8]}, d{a[1], a[5], a[9]}, f{a[2], a[6], a[10]};
    CHECK(length(cross(r, d) - f) < 1e-6f);
    CHECK(std::abs(length(f) - 1) < 1e-6f);
  }
}

TEST_CASE("the scan sees nearly all of the room") {
  // Points spread evenly over walls, floor and ceiling as the scan's own rays meet them from the middle: each
  // must come up in the scan.
  synthetic_scan scan("room", small());
  std::set<std::array<int, 3>> seen;
  auto cell = [](float x, float y, float z) {
    auto k = [](float v) { return static_cast<int>(std::floor(v / 0.2f)); };
    return std::array{k(x), k(y), k(z)};
  };
  for (uint64_t i = 0; i < scan.per_loop(); ++i) {
    auto k = scan.make(i);
    auto p = k.body->points();
    for (size_t j = 0; j < k.body->size(); ++j)
      seen.insert(cell(p[3 * j], p[3 * j + 1], p[3 * j + 2]));
  }
  size_t wanted = 0, found = 0;
  uint64_t state = 9;
  for (int i = 0; i < 4000; ++i) {
    state = hash_of(state, 4);
    vec3 direction = normalised({bell_float(state), bell_float(hash_of(state, 5)), bell_float(hash_of(state, 6))});
    vec3 origin{0, -1.3f, 1.5f};
    auto hit = room_cast(origin, direction);
    REQUIRE(hit);
    vec3 p = origin + direction * hit->t;
    bool near = false;
    for (int dx = -1; dx <= 1; ++dx)
      for (int dy = -1; dy <= 1; ++dy)
        for (int dz = -1; dz <= 1; ++dz)
          near |= seen.contains(cell(p.x + 0.1f * float(dx), p.y + 0.1f * float(dy), p.z + 0.1f * float(dz)));
    ++wanted;
    found += near;
  }
  CHECK(static_cast<double>(found) > 0.99 * static_cast<double>(wanted));
}

TEST_CASE("the building is rooms over more than 100 x 100 metres") {
  synthetic_scan scan("building", small());
  CHECK(scan.per_loop() == 10'000);
  float far_x = 0, far_y = 0;
  for (uint64_t i = 0; i < scan.per_loop(); i += 97) {
    auto k = scan.make(i);
    auto p = k.body->points();
    for (size_t j = 0; j < k.body->size(); j += 97) {
      REQUIRE(scan.distance(p[3 * j], p[3 * j + 1], p[3 * j + 2]) < 3e-5f);
      far_x = std::max(far_x, p[3 * j]);
      far_y = std::max(far_y, p[3 * j + 1]);
    }
  }
  CHECK(far_x > 155);
  CHECK(far_y > 130);
}

TEST_CASE("the way through the building comes to each room once, and sees that room alone") {
  synthetic_scan scan("building", small());
  std::set<std::pair<int, int>> rooms;
  std::pair<int, int> here{-1, -1};
  uint64_t stayed = 0;
  for (uint64_t i = 0; i < scan.per_loop(); ++i) {
    const auto m = scan.camera(i).m;
    const std::pair<int, int> room{static_cast<int>(std::floor(m[3] / 6.5f + 0.5f)),
                                   static_cast<int>(std::floor(m[7] / 5.5f + 0.5f))};
    if (room != here) {
      REQUIRE(rooms.insert(room).second); // never seen before
      if (i > 0)
        REQUIRE(stayed == 16);
      stayed = 0;
      here = room;
    }
    ++stayed;
    if (i % 397 != 0)
      continue;
    const auto k = scan.make(i);
    const auto p = k.body->points();
    for (size_t j = 0; j < k.body->size(); ++j) {
      const vec3 at{p[3 * j] - 6.5f * static_cast<float>(room.first), p[3 * j + 1] - 5.5f * static_cast<float>(room.second),
                    p[3 * j + 2]};
      REQUIRE(
        (at.x > room_low.x - 1e-4f && at.x < room_high.x + 1e-4f && at.y > room_low.y - 1e-4f && at.y < room_high.y + 1e-4f));
    }
  }
  CHECK(rooms.size() == 625);
}

TEST_CASE("a keyframe of the building depends on the options and its index alone") {
  auto o = small();
  o.noise_m = 0.01f;
  synthetic_scan one("building", o), two("building", o);
  CHECK(digest(one.make(4321)) == digest(two.make(4321)));
  CHECK(digest(one.make(4321)) != digest(one.make(4321 - 16)));
  o.seed = 2;
  CHECK(digest(synthetic_scan("building", o).make(4321)) != digest(one.make(4321)));
}

TEST_CASE("the building's map grows by as much with the last room as with the first") {
  // Cells of 20 cm that the keyframes of a room are the first to see.
  synthetic_scan scan("building", small());
  const auto seen_in = [&](uint64_t room) {
    std::set<std::array<int, 3>> cells;
    for (uint64_t i = 16 * room; i < 16 * (room + 1); ++i) {
      const auto k = scan.make(i);
      const auto p = k.body->points();
      for (size_t j = 0; j < p.size(); j += 3)
        cells.insert({static_cast<int>(std::floor(p[j] * 5)), static_cast<int>(std::floor(p[j + 1] * 5)),
                      static_cast<int>(std::floor(p[j + 2] * 5))});
    }
    return cells;
  };
  auto all = seen_in(0);
  const auto first = static_cast<double>(all.size());
  for (const uint64_t room : {1u, 24u, 25u, 310u, 624u}) {
    const auto before = all.size();
    all.merge(seen_in(room));
    CHECK(static_cast<double>(all.size() - before) == Approx(first).epsilon(0.1));
  }
}

TEST_CASE("a synthetic source gives what was chosen, in any number of threads") {
  source_options o;
  o.synthetic = small();
  o.sequence.limit = 6;
  o.sequence.every = 5;
  std::vector<std::string> ids;
  for (uint32_t threads : {0u, 1u, 3u}) {
    o.sequence.prefetch_threads = threads;
    auto source = make_source("synthetic:room", o);
    CHECK(source->kind() == "synthetic");
    CHECK(source->where() == "synthetic:room");
    CHECK(source->total() == 6u);
    testing::recording_sink sink;
    source->run(sink, {});
    std::vector<std::string> got;
    for (const auto& k : sink.frames())
      got.push_back(k.id.value);
    if (ids.empty())
      ids = got;
    CHECK(got == ids);
  }
  CHECK(ids
        == std::vector<std::string>{"room-000000", "room-000005", "room-000010", "room-000015", "room-000020", "room-000025"});
  o.sequence.limit = 0;
  o.sequence.every = 1;
  o.synthetic.loops = 0;
  CHECK_FALSE(make_source("synthetic:room", o)->total());
  o.synthetic.loops = 2;
  CHECK(make_source("synthetic:room", o)->total() == 400u);
}

TEST_CASE("an endless scan stops when asked") {
  source_options o;
  o.synthetic = small();
  o.synthetic.loops = 0;
  std::stop_source stop;
  testing::recording_sink sink;
  sink.judge = [&](const keyframe& k) {
    if (k.id.value == "room-000007")
      stop.request_stop();
    return verdict{};
  };
  make_source("synthetic:room", o)->run(sink, stop.get_token());
  CHECK(sink.frames().size() == 8);
}

TEST_CASE("synthetic options out of bounds are refused by name") {
  auto refused = [](auto change) {
    synthetic_options o;
    change(o);
    CHECK_THROWS_AS(synthetic_scan("room", o), std::invalid_argument);
  };
  refused([](auto& o) { o.width = 0; });
  refused([](auto& o) { o.height = 100'000; });
  refused([](auto& o) { o.view_deg = 180; });
  refused([](auto& o) { o.noise_m = -1; });
  refused([](auto& o) { o.outliers = std::nanf(""); });
  CHECK_THROWS_WITH(synthetic_scan("cave", {}), Catch::Contains("cave") && Catch::Contains("synthetic:room"));
}
