#include "gpu/map/offline_map.hpp"
#include "messages/moved_pose.hpp"
#include "random_map.hpp"
#include "tests/support/torn_body.hpp"

#include <algorithm>
#include <atomic>
#include <new>
#include <stdexcept>
#include <thread>

using namespace tessera;
using namespace tessera::test;

namespace {

keyframe named(keyframe frame, const std::string& name) {
  frame.id.value = name;
  return frame;
}

std::vector<keyframe> random_frames(size_t count, std::mt19937& random) {
  std::vector<keyframe> out;
  for (size_t i = 0; i < count; ++i)
    out.push_back(named(random_keyframe(random), "k" + std::to_string(i)));
  return out;
}

offline_options keeping_rays() {
  offline_options o;
  o.keep_rays = true;
  return o;
}

offline_options working(uint32_t threads, bool extract_each) {
  offline_options o;
  o.threads = threads;
  o.extract_each = extract_each;
  return o;
}

/// The CPU's fields for a map of that many threads.
std::shared_ptr<async_fields> cpu_for(const map_settings& map, uint32_t threads, uint64_t cap_bytes = 0) {
  return make_cpu_fields(map, {.threads = threads == 1 ? 0 : threads, .cap_bytes = cap_bytes});
}

using fields = std::vector<std::shared_ptr<async_fields>>;

fields cpus_for(const map_settings& map, uint32_t threads, size_t count, uint64_t cap_bytes = 0) {
  fields out;
  while (out.size() < count)
    out.push_back(cpu_for(map, threads, cap_bytes));
  return out;
}

offline_map make_map(const offline_options& options, uint32_t region_voxels = 32, uint64_t cap_bytes = 0, size_t devices = 1) {
  const auto map = map_of(region_voxels);
  return {map, cpus_for(map, options.threads, devices, cap_bytes), options};
}

verdict offer(offline_map& map, const keyframe& frame) {
  verdict out;
  std::atomic<int> answers = 0;
  map.offer(frame, [&](const verdict& v) {
    out = v;
    ++answers;
  });
  map.finish();
  CHECK(answers == 1);
  return out;
}

verdict retract(offline_map& map, const std::string& name) {
  verdict out;
  map.offer(retraction{{name}}, [&](const verdict& v) { out = v; });
  return out;
}

verdict revise(offline_map& map, const std::string& name, const pose& to) {
  verdict out;
  map.offer(revision{{name}, to}, [&](const verdict& v) { out = v; });
  return out;
}

/// What a map is: everything that does not depend on how it came to be.
struct content {
  map_hash hash;
  uint64_t blocks = 0, voxels = 0, keyframes = 0;
  mesh surface;
  bool operator==(const content&) const = default;
};

content content_of(offline_map& map) {
  map.finish();
  const auto stats = map.stats();
  return {stats.hash, stats.blocks, stats.voxels, map.counts().keyframes, weld(map.meshes())};
}

struct fresh_frames {
  unsigned seed = std::random_device{}();
  std::mt19937 random{seed};
  std::vector<keyframe> frames;
  explicit fresh_frames(size_t count) : frames(random_frames(count, random)) {}
};

} // namespace

TEST_CASE("once: a keyframe whose id is live changes nothing, whatever it brings") {
  fresh_frames f(3);
  INFO("seed " << f.seed);
  auto map = make_map(keeping_rays());
  CHECK(offer(map, f.frames[0]).what == outcome::accepted);
  CHECK(offer(map, f.frames[1]).what == outcome::accepted);
  const auto before = content_of(map);
  REQUIRE(before.surface.triangles() > 1000);
  CHECK(offer(map, f.frames[0]).what == outcome::duplicate);
  CHECK(offer(map, named(f.frames[2], "k1")).what == outcome::duplicate);
  CHECK(content_of(map) == before);
  CHECK(map.counts().duplicates == 2);
  CHECK(map.counts().keyframes == 2);
  CHECK(map.counts().points == 6000);
}

TEST_CASE("undo: what is retracted has never been, and can come again") {
  fresh_frames f(4);
  INFO("seed " << f.seed);
  auto options = keeping_rays();
  options.extract_each = GENERATE(false, true);
  auto map = make_map(options);
  auto never = make_map(keeping_rays());
  for (const auto& frame : f.frames)
    offer(map, frame);
  const auto all = content_of(map);
  offer(never, f.frames[1]);
  offer(never, f.frames[3]);
  CHECK(retract(map, "k0").what == outcome::accepted);
  CHECK(retract(map, "k2").what == outcome::accepted);
  CHECK(content_of(map) == content_of(never));
  CHECK(retract(map, "k0").what == outcome::unknown);
  CHECK(retract(map, "nobody").what == outcome::unknown);
  CHECK(content_of(map) == content_of(never));
  CHECK(offer(map, f.frames[2]).what == outcome::accepted);
  CHECK(offer(map, f.frames[0]).what == outcome::accepted);
  CHECK(content_of(map) == all);
  for (const auto& frame : f.frames)
    retract(map, frame.id.value);
  CHECK(content_of(map) == content{});
  CHECK(map.regions() == 0);
  CHECK(map.meshes().empty());
}

TEST_CASE("revise: a keyframe that is moved is as if it had come with that pose") {
  const auto seed = std::random_device{}();
  std::mt19937 random(seed);
  INFO("seed " << seed);
  // Coordinates and poses that floats hold exactly, so that both ways lead to the very same rays.
  pose right; // a quarter turn about z, and a shift
  right.m = {0, -1, 0, 2, 1, 0, 0, -0.5f, 0, 0, 1, 0.25f, 0, 0, 0, 1};
  auto wrong_body = std::make_shared<owned_keyframe_body>(), right_body = std::make_shared<owned_keyframe_body>();
  for (int i = 0; i < 4000; ++i) {
    const auto x = static_cast<float>(static_cast<int>(random() % 2048) - 1024) / 1024,
               y = static_cast<float>(static_cast<int>(random() % 2048) - 1024) / 1024,
               z = 2 + static_cast<float>(random() % 64) / 1024;
    wrong_body->point_data.insert(wrong_body->point_data.end(), {x, y, z});
    right_body->point_data.insert(right_body->point_data.end(), {-y + 2, x - 0.5f, z + 0.25f});
  }
  wrong_body->colour_data.assign(wrong_body->point_data.size(), 77);
  right_body->colour_data = wrong_body->colour_data;
  const keyframe came_wrong{
    .id = {"moved"}, .timestamp_ns = 0, .received_ns = 0, .world_from_camera = {}, .body = wrong_body, .source = {}, .group = {}};
  const keyframe came_right{.id = {"moved"},
                            .timestamp_ns = 0,
                            .received_ns = 0,
                            .world_from_camera = right,
                            .body = right_body,
                            .source = {},
                            .group = {}};
  const auto others = random_frames(2, random);

  auto revised = make_map(keeping_rays()), at_once = make_map(keeping_rays());
  offer(revised, others[0]);
  offer(revised, came_wrong);
  (void)revised.meshes();
  CHECK(revise(revised, "moved", right).what == outcome::accepted);
  offer(revised, others[1]);
  for (const auto& frame : {others[1], came_right, others[0]})
    offer(at_once, frame);
  const auto want = content_of(at_once);
  REQUIRE(want.surface.triangles() > 1000);
  CHECK(content_of(revised) == want);

  // There and back, and gone without a trace from where it was moved to.
  CHECK(revise(revised, "moved", random_pose(random)).what == outcome::accepted);
  CHECK_FALSE(content_of(revised) == want);
  CHECK(revise(revised, "moved", right).what == outcome::accepted);
  CHECK(content_of(revised) == want);
  CHECK(retract(revised, "moved").what == outcome::accepted);
  retract(at_once, "moved");
  CHECK(content_of(revised) == content_of(at_once));
  CHECK(revise(revised, "moved", right).what == outcome::unknown);
  CHECK(content_of(revised) == content_of(at_once));
}

TEST_CASE("revise: late and repeated numbers change nothing") {
  fresh_frames f(1);
  INFO("seed " << f.seed);
  auto map = make_map(keeping_rays());
  offer(map, f.frames[0]);
  const auto first = random_pose(f.random), second = random_pose(f.random);
  const auto revised = [&](const pose& to, std::optional<uint64_t> number) {
    verdict out;
    map.offer(revision{{"k0"}, to, number}, [&](const verdict& v) { out = v; });
    return out.what;
  };
  CHECK(revised(first, 5) == outcome::accepted);
  const auto want = content_of(map);
  CHECK(revised(second, 5) == outcome::duplicate);
  CHECK(revised(second, 4) == outcome::duplicate);
  CHECK(content_of(map) == want);
  CHECK(revised(second, 6) == outcome::accepted);
  CHECK(revised(first, std::nullopt) == outcome::accepted); // always counts
  CHECK(content_of(map) == want);
  CHECK(revised(first, 1) == outcome::accepted); // there is no number any more
}

TEST_CASE("correct: many keyframes and groups move as if each had come there, and nothing moves twice") {
  fresh_frames f(5);
  INFO("seed " << f.seed);
  for (const size_t i : {1, 2, 4})
    f.frames[i].group = "upstairs";
  const auto to = random_pose(f.random), by = random_pose(f.random);
  const uint32_t threads = GENERATE(1u, 3u);
  auto options = keeping_rays();
  options.threads = threads;
  auto map = make_map(options), wanted = make_map(keeping_rays());
  const auto correct = [&](correction what) {
    verdict out;
    map.correct(std::move(what), [&](const verdict& v) { out = v; });
    return out;
  };
  for (size_t i = 0; i < 4; ++i)
    map.offer(f.frames[i], [](const verdict&) {});
  const correction many{{{{}, "upstairs", by, 9}, {{"k0"}, {}, to, std::nullopt}, {{"nobody"}, {}, to, std::nullopt}}};
  auto v = correct(many);
  CHECK(v.what == outcome::accepted);
  CHECK(v.keyframes == 3);
  CHECK(v.left.unknown == 1);
  v = correct(many);
  CHECK(v.keyframes == 1); // that without a number
  CHECK(v.left.duplicate == 2);
  map.offer(f.frames[4], [](const verdict&) {}); // has moved with its group before it came
  CHECK(correct(many).left.duplicate == 3);
  for (const auto& frame : f.frames)
    offer(wanted, frame);
  (void)revise(wanted, "k0", to);
  for (const auto* name : {"k1", "k2"})
    (void)revise(wanted, name, moved_pose(by, f.frames[name[1] - '0'].world_from_camera));
  CHECK(content_of(map) == content_of(wanted));
  CHECK(map.poses().size() == 5);
}

TEST_CASE("correct: a pose that is none is refused, and nothing of it is done") {
  auto options = keeping_rays();
  options.check_pose = [](const pose& at) { return at.m[3] > 100 ? std::string("too far") : std::string(); };
  auto map = make_map(options);
  fresh_frames f(2);
  for (const auto& frame : f.frames)
    offer(map, frame);
  const auto want = content_of(map);
  auto far = f.frames[0].world_from_camera;
  far.m[3] = 200;
  verdict v;
  map.correct({{{{"k1"}, {}, f.frames[0].world_from_camera, std::nullopt}, {{"k0"}, {}, far, std::nullopt}}},
              [&](const verdict& its) { v = its; });
  CHECK(v == verdict{outcome::refused, "too far"});
  CHECK(revise(map, "k0", far).what == outcome::refused);
  CHECK(content_of(map) == want);
}

TEST_CASE("revise: a keyframe that would be beyond the map stays where it was, as in a service") {
  auto map = make_map(keeping_rays());
  fresh_frames f(2);
  INFO("seed " << f.seed);
  for (auto& frame : f.frames) {
    frame.group = "upstairs";
    offer(map, frame);
  }
  const auto want = content_of(map);
  auto far = f.frames[0].world_from_camera;
  far.m[3] = 1e6f;
  const auto v = revise(map, "k0", far);
  CHECK(v.what == outcome::refused);
  CHECK_THAT(v.reason, Catch::Contains("beyond the map"));
  verdict many;
  far = {};
  far.m[3] = 1e6f;
  map.correct({{{{}, "upstairs", far, 1}}}, [&](const verdict& its) { many = its; });
  CHECK(many.left.refused == 2);
  CHECK(content_of(map) == want);
  CHECK(retract(map, "k0").what == outcome::accepted);
}

TEST_CASE("any order, any number of threads and devices, any cut, meshed on the way or at the end: one map") {
  fresh_frames f(6);
  INFO("seed " << f.seed);
  auto first = make_map({});
  for (const auto& frame : f.frames)
    offer(first, frame);
  const auto want = content_of(first);
  REQUIRE(want.surface.triangles() > 1000);
  for (const uint32_t threads : {1u, 3u})
    for (const uint32_t cut : {16u, 32u, 64u})
      for (const size_t devices : {1u, 3u}) {
        const bool extract_each = cut != 32;
        INFO(threads << " threads, regions of " << cut << " voxels, devices: " << devices << ", meshed "
                     << (extract_each ? "each time" : "at the end"));
        std::shuffle(f.frames.begin(), f.frames.end(), f.random);
        auto map = make_map(working(threads, extract_each), cut, 0, devices);
        for (const auto& frame : f.frames)
          map.offer(frame, [](const verdict&) {});
        CHECK(content_of(map) == want);
      }
}

TEST_CASE("keyframes can be moved and taken out from many threads, also while they are under way") {
  fresh_frames f(4);
  INFO("seed " << f.seed);
  auto options = keeping_rays();
  options.threads = 3;
  auto map = make_map(options), want = make_map(options);
  offer(want, f.frames[3]);
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < 3; ++i)
      threads.emplace_back([&, i] {
        for (int round = 0; round < 5; ++round) {
          map.offer(f.frames[i], [](const verdict&) {});
          revise(map, "k" + std::to_string(i), f.frames[(i + 1) % 3].world_from_camera);
          if (retract(map, "k" + std::to_string(i)).what != outcome::accepted)
            std::terminate();
        }
      });
  }
  offer(map, f.frames[3]);
  CHECK(content_of(map) == content_of(want));
}

TEST_CASE("without rays nothing can be taken out, and the answer says so") {
  fresh_frames f(1);
  auto map = make_map({});
  offer(map, f.frames[0]);
  const auto before = content_of(map);
  for (const auto& v : {retract(map, "k0"), revise(map, "k0", {})}) {
    CHECK(v.what == outcome::refused);
    CHECK_THAT(v.reason, Catch::Contains("no rays"));
  }
  CHECK(content_of(map) == before);
}

TEST_CASE("what is refused is counted with its reason and leaves the id free") {
  fresh_frames f(2);
  offline_options options;
  options.check = [](const keyframe& k) { return k.id.value == "k1" ? std::string("k1 is not wanted") : std::string(); };
  auto map = make_map(options);
  auto torn = f.frames[0];
  torn.body = std::make_shared<torn_body>(f.frames[0].body);
  CHECK(offer(map, torn) == verdict{outcome::not_now, "the segment shrank"}); // it is not set aside: it may come whole
  CHECK(map.counts().set_aside == 0);
  CHECK(offer(map, f.frames[1]) == verdict{outcome::refused, "k1 is not wanted"});
  CHECK(map.counts().last_reason == "k1 is not wanted");
  map.set_aside("rgbd", "frame-7", "no depth");
  CHECK(map.counts().last_reason == "rgbd frame-7: no depth");
  CHECK(map.counts().set_aside == 2);
  CHECK(map.counts().keyframes == 0);
  CHECK(content_of(map) == content{});
  CHECK(offer(map, f.frames[0]).what == outcome::accepted);
  CHECK(map.counts().keyframes == 1);
}

TEST_CASE("a keyframe that does not fit into the memory cap ends the work with that error") {
  fresh_frames f(2);
  const uint32_t threads = GENERATE(1u, 2u);
  INFO(threads << " threads");
  auto map = make_map(working(threads, false), 32, 20 * 12'288);
  std::atomic<int> not_now = 0;
  for (const auto& frame : f.frames)
    map.offer(frame, [&](const verdict& v) { not_now += v.what == outcome::not_now; });
  CHECK_THROWS_AS(map.finish(), std::bad_alloc);
  CHECK(not_now == 2); // it is not the keyframes' fault
  CHECK(map.stats().blocks == 0);
}

TEST_CASE("a keyframe that finds no room under a new pose stays where it was, and is live") {
  fresh_frames f(2);
  INFO("seed " << f.seed);
  const uint32_t threads = GENERATE(1u, 3u);
  const size_t devices = GENERATE(1u, 2u);
  auto options = keeping_rays();
  options.threads = threads;
  const auto cut = map_of(16);
  const auto roomy = cpus_for(cut, threads, devices);
  offline_map whole(cut, roomy, options);
  offer(whole, f.frames[0]);
  const auto want = content_of(whole);
  uint64_t most = 0;
  for (const auto& one : roomy)
    most = std::max(most, one->memory().blocks);
  const auto tight = cpus_for(cut, threads, devices, (most + 20) * 12'288);
  offline_map map(cut, tight, options);
  offer(map, f.frames[0]);
  CHECK(content_of(map) == want);
  pose far = f.frames[0].world_from_camera;
  far.m[3] += 50;
  const auto answer = revise(map, "k0", far);
  CHECK(answer.what == outcome::not_now);
  CHECK_THAT(answer.reason, Catch::Contains("memory-cap"));
  CHECK(content_of(map) == want); // and the work goes on
  for (size_t i = 0; i < devices; ++i)
    CHECK(tight[i]->memory().blocks == roomy[i]->memory().blocks);
  CHECK(offer(map, f.frames[0]).what == outcome::duplicate);
  CHECK(retract(map, "k0").what == outcome::accepted);
  CHECK(content_of(map) == content{});
}

namespace {

/// Points that are whole for the first who asks, and torn for the others.
class soon_torn_body final : public torn_body {
public:
  using torn_body::torn_body;
  [[nodiscard]] std::string torn() const override { return asked_++ == 0 ? "" : torn_body::torn(); }

private:
  mutable std::atomic<int> asked_ = 0;
};

} // namespace

TEST_CASE("a keyframe that one device takes and another does not is taken out again") {
  fresh_frames f(2);
  INFO("seed " << f.seed);
  auto map = make_map(working(1, true), 16, 0, 3);
  offer(map, f.frames[0]);
  const auto before = content_of(map);
  auto torn = f.frames[1];
  torn.body = std::make_shared<soon_torn_body>(f.frames[1].body);
  CHECK(offer(map, torn) == verdict{outcome::not_now, "the segment shrank"});
  CHECK(content_of(map) == before);
  CHECK(offer(map, f.frames[1]).what == outcome::accepted);
}

TEST_CASE("every keyframe's times are kept, in order, when one thread does all") {
  fresh_frames f(3);
  auto map = make_map(working(1, true));
  for (const auto& frame : f.frames)
    offer(map, frame);
  REQUIRE(map.times().size() == 3);
  for (const auto& t : map.times()) {
    CHECK(t.rays_s > 0);
    CHECK(t.integrate_s > 0);
    CHECK(t.extract_s > 0);
    CHECK(t.total_s >= t.device_s());
  }
}

TEST_CASE("regions of an offline map come in the order of their keys, and only those with a surface are meshed") {
  fresh_frames f(2);
  auto map = make_map({}, 16);
  for (const auto& frame : f.frames)
    offer(map, frame);
  const auto meshes = map.meshes();
  CHECK(meshes.size() > 20);
  CHECK(meshes.size() <= map.regions());
  CHECK(
    std::is_sorted(meshes.begin(), meshes.end(), [](const region_mesh& a, const region_mesh& b) { return a.region < b.region; }));
  CHECK(std::all_of(meshes.begin(), meshes.end(), [](const region_mesh& m) { return m.surface->triangles() > 0; }));
}
