// The laws of the map, through actors: whatever happens on the way, the same live keyframes give the same hash as without any
// actors.

#include "toy_service.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::toy;

namespace {

std::unique_ptr<stepped_service> start(const std::function<void(service_config&)>& change = {}) {
  auto by = std::make_shared<control>();
  auto config = config_for(by);
  if (change)
    change(config);
  return std::make_unique<stepped_service>(std::move(config), by);
}

} // namespace

TEST_CASE("keyframes in any order, with any interleaving, give the map of the plain field") {
  const auto frames = random_frames(1, 20);
  const auto expected = truth(small_map(), frames);
  for (unsigned seed = 0; seed < 5; ++seed) {
    auto s = start();
    std::mt19937 random{seed};
    auto shuffled = frames;
    std::shuffle(shuffled.begin(), shuffled.end(), random);
    std::vector<std::shared_ptr<std::optional<verdict>>> verdicts;
    for (const auto& f : shuffled) {
      verdicts.push_back(s->put(f));
      s->run_some(random, 30);
    }
    s->run();
    for (const auto& v : verdicts) {
      REQUIRE(v->has_value());
      CHECK((*v)->what == outcome::accepted);
    }
    const auto status = s->status();
    CHECK(to_hex(status.field.hash) == to_hex(expected));
    CHECK(status.keyframes == 20);
    CHECK(status.rays == 20 * 40);
    CHECK(status.epoch == "test");
  }
}

TEST_CASE("a keyframe delivered twice counts once, also while the first is under way") {
  auto s = start();
  const auto frames = random_frames(2, 1);
  auto first = s->put(frames[0]);
  auto second = s->put(frames[0]);
  s->run();
  auto third = s->put(frames[0]);
  s->run();
  CHECK((*first)->what == outcome::accepted);
  CHECK((*second)->what == outcome::duplicate);
  CHECK((*third)->what == outcome::duplicate);
  CHECK(s->status().field.hash == truth(small_map(), frames));
  CHECK(s->running.context.numbers->duplicate == 2);
}

TEST_CASE("a retracted keyframe was never there, and can come again") {
  auto s = start();
  auto frames = random_frames(3, 6);
  for (const auto& f : frames)
    s->put(f);
  auto gone = s->put(retraction{frames[2].id});
  auto unknown = s->put(retraction{keyframe_id{"never seen"}});
  s->run();
  CHECK((*gone)->what == outcome::accepted);
  CHECK((*unknown)->what == outcome::unknown);
  const auto all = frames;
  frames.erase(frames.begin() + 2);
  CHECK(s->status().field.hash == truth(small_map(), frames));
  auto again = s->put(all[2]);
  s->run();
  CHECK((*again)->what == outcome::accepted);
  CHECK(s->status().field.hash == truth(small_map(), all));
  for (const auto& f : all)
    s->put(retraction{f.id});
  s->run();
  const auto empty = s->status();
  CHECK(empty.field.hash == map_hash{});
  CHECK(empty.regions == 0);
  CHECK(empty.keyframes == 0);
  CHECK(empty.triangles == 0);
  CHECK(empty.bounds == std::array<float, 6>{});
}

TEST_CASE("a revised keyframe is as if it had come with the new pose") {
  auto s = start();
  auto frames = random_frames(4, 6);
  for (const auto& f : frames)
    s->put(f);
  pose moved = frames[1].world_from_camera;
  moved.m[3] += 33;
  moved.m[7] -= 20;
  auto done = s->put(revision{frames[1].id, moved});
  auto unknown = s->put(revision{keyframe_id{"never seen"}, moved});
  s->run();
  CHECK((*done)->what == outcome::accepted);
  CHECK((*unknown)->what == outcome::unknown);
  // Rays do not depend on the pose: the same points move with the camera.
  auto body = std::make_shared<owned_keyframe_body>();
  const auto points = frames[1].body->points();
  for (size_t i = 0; i < points.size(); ++i)
    body->point_data.push_back(points[i] + (i % 3 == 0 ? 33.f : i % 3 == 1 ? -20.f : 0.f));
  body->colour_data.resize(points.size());
  frames[1].body = body;
  frames[1].world_from_camera = moved;
  CHECK(s->status().field.hash == truth(small_map(), frames));
}

TEST_CASE("changes of one id are done in their order, however they interleave") {
  const auto frames = random_frames(5, 3);
  for (unsigned seed = 0; seed < 10; ++seed) {
    auto s = start();
    std::mt19937 random{seed};
    const auto in = s->running.ingest.get();
    std::vector<std::shared_ptr<std::optional<verdict>>> v;
    v.push_back(s->put(frames[0]));
    s->scheduler().run_once(); // each asker sends in its first step
    s->run_some(random, seed);
    // One asker, so that the order is that of sending.
    auto answers = std::make_shared<std::vector<outcome>>();
    s->system.spawn<script_actor>([answers, in, frames](caf::event_based_actor* self) {
      auto note = [answers](const verdict& x) { answers->push_back(x.what); };
      auto id = frames[0].id;
      auto moved = frames[0].world_from_camera;
      moved.m[11] += 5;
      for (const map_input& what :
           {map_input{frames[0]}, map_input{retraction{id}}, map_input{retraction{id}}, map_input{frames[0]},
            map_input{revision{id, moved}}, map_input{revision{id, frames[0].world_from_camera}}})
        self->request(in, std::chrono::minutes{60}, ingest_atom::value, what).then(note);
      return caf::behavior{};
    });
    s->run_some(random, 200);
    s->run();
    CHECK(*answers
          == std::vector<outcome>{outcome::duplicate, outcome::accepted, outcome::unknown, outcome::accepted, outcome::accepted,
                                  outcome::accepted});
    CHECK(s->status().field.hash == truth(small_map(), {frames[0]}));
  }
}

TEST_CASE("meshers that are killed at random while keyframes come, go and move leave no trace") {
  for (unsigned seed = 0; seed < 12; ++seed) {
    auto s = start([&](service_config& c) { c.credit = 4; });
    std::mt19937 random{seed};
    auto frames = random_frames(100 + seed, 24);
    std::map<std::string, keyframe> live;
    std::vector<std::shared_ptr<std::optional<verdict>>> verdicts;
    std::map<region_key, bool> seen;
    int kills = 0;
    // The order of messages to ingest must be known to know the truth: one asker a step, run until it has sent.
    auto send_now = [&](const map_input& what) {
      auto v = s->put(what);
      s->scheduler().run_once_lifo();
      verdicts.push_back(v);
    };
    for (size_t i = 0; i < frames.size(); ++i) {
      send_now(frames[i]);
      live[frames[i].id.value] = frames[i];
      for (const auto& region : regions_of(small_map(), frames[i]))
        seen[region] = true;
      s->run_some(random, random() % 120);
      if (i % 3 == 2) {
        const auto& victim = frames[random() % i];
        send_now(retraction{victim.id});
        live.erase(victim.id.value);
      }
      if (i % 4 == 3) {
        const auto& other = frames[random() % i];
        auto target = other.world_from_camera;
        target.m[3] += 16;
        send_now(revision{other.id, target});
        if (auto l = live.find(other.id.value); l != live.end() && l->second.world_from_camera != target) {
          auto body = std::make_shared<owned_keyframe_body>();
          const auto dx = target.m[3] - l->second.world_from_camera.m[3];
          const auto points = l->second.body->points();
          for (size_t k = 0; k < points.size(); ++k)
            body->point_data.push_back(points[k] + (k % 3 == 0 ? dx : 0.f));
          body->colour_data.resize(points.size());
          l->second.body = body;
          l->second.world_from_camera = target;
        }
      }
      for (int k = 0; k < 3; ++k) {
        auto region = std::next(seen.begin(), static_cast<std::ptrdiff_t>(random() % seen.size()))->first;
        auto killed = s->ask<bool>(s->running.supervisor.get(), kill_atom::value, region);
        s->run_some(random, random() % 40);
        ++kills;
      }
    }
    s->run();
    for (int i = 0; i < 20; ++i)
      s->tick(std::chrono::milliseconds{250});
    for (const auto& v : verdicts)
      REQUIRE(v->has_value());
    std::vector<keyframe> left;
    for (const auto& [id, frame] : live)
      left.push_back(frame);
    const auto status = s->status();
    CHECK(to_hex(status.field.hash) == to_hex(truth(small_map(), left)));
    CHECK(status.keyframes == left.size());
    CHECK(s->running.context.numbers->restarts > 5);
    // Nothing keeps the dead meshers. (CAF's clock does, until the timeouts of what they asked have passed.)
    s->tick(std::chrono::minutes{60});
    CHECK(s->running.context.registry->existing() == s->running.context.registry->statuses().size());
    // Viewers see what the field holds.
    auto patches = s->ask<std::vector<patch>>(s->running.broadcaster.get(), list_atom::value);
    s->run();
    uint64_t triangles = 0;
    for (const auto& p : **patches)
      triangles += p.triangles;
    CHECK(triangles == status.triangles);
    CHECK(triangles == status.field.blocks);
  }
}

TEST_CASE("a device that fails is started again, and its fields are filled again") {
  auto s = start();
  const auto frames = random_frames(7, 8);
  std::vector<std::shared_ptr<std::optional<verdict>>> verdicts;
  for (size_t i = 0; i < frames.size(); ++i) {
    verdicts.push_back(s->put(frames[i]));
    if (i % 2 == 1)
      s->by->fail_next = 1;
    s->run();
  }
  for (const auto& v : verdicts)
    CHECK((*v)->what == outcome::accepted);
  CHECK(s->status().field.hash == truth(small_map(), frames));
  CHECK(s->running.context.numbers->restarts > 0);
}

TEST_CASE("a keyframe for which there is no room is not taken now, as a whole, and the map is as before") {
  auto s = start();
  const auto frames = random_frames(8, 5);
  for (size_t i = 0; i < 3; ++i)
    s->put(frames[i]);
  s->run();
  const auto before = s->status();
  s->by->cells_left = 20; // fewer than the keyframe's cells: some of its regions take it, some do not
  auto later = s->put(frames[3]);
  s->run();
  REQUIRE(later->has_value());
  CHECK((*later)->what == outcome::not_now);
  CHECK_THAT((*later)->reason, Catch::Contains("the map is full") && Catch::Contains("out of memory"));
  CHECK(s->status().field.hash == before.field.hash);
  CHECK(s->status().keyframes == 3);
  pose far = frames[0].world_from_camera;
  far.m[3] += 1000;
  auto stays = s->put(revision{frames[0].id, far});
  s->run();
  CHECK((*stays)->what == outcome::not_now);
  CHECK(s->status().field.hash == before.field.hash);
  s->by->cells_left = ~0ull;
  auto taken = s->put(frames[3]);
  s->run();
  CHECK((*taken)->what == outcome::accepted);
  CHECK(s->status().field.hash == truth(small_map(), {frames.begin(), frames.begin() + 4}));
  const auto& n = *s->running.context.numbers;
  CHECK(n.not_now_by[static_cast<size_t>(hindrance::room)] == 2);
  CHECK(n.refused == 0);
  CHECK(n.set_aside.total() == 0);
}

TEST_CASE("the collected meshes are those of all regions, after everything sent before") {
  auto s = start();
  const auto frames = random_frames(9, 4);
  for (const auto& f : frames)
    s->put(f);
  s->run();
  auto meshes = s->ask<std::vector<region_mesh>>(s->running.partitioner.get(), mesh_atom::value);
  auto regions = s->ask<std::vector<region_status>>(s->running.partitioner.get(), list_atom::value);
  s->run();
  REQUIRE(meshes->has_value());
  REQUIRE(regions->has_value());
  uint64_t triangles = 0, blocks = 0;
  for (const auto& m : **meshes)
    triangles += m.surface->triangles();
  for (const auto& r : **regions)
    blocks += r.field.blocks;
  CHECK(triangles == blocks);
  CHECK(triangles == s->status().triangles);
  CHECK(std::is_sorted((*regions)->begin(), (*regions)->end(), [](const auto& a, const auto& b) { return a.region < b.region; }));
}

TEST_CASE("a mesher that fails whenever it starts is started more and more seldom, and all is well once it can") {
  auto s = start();
  const auto frames = random_frames(10, 1);
  s->put(frames[0]);
  s->run();
  const auto region = regions_of(small_map(), frames[0])[0];
  const auto fail = [&] {
    auto mesher = s->ask<mesher_actor>(s->running.supervisor.get(), place_atom::value, region);
    s->run();
    if (*mesher)
      caf::anon_send_exit(**mesher, caf::exit_reason::unhandled_exception);
    s->run();
  };
  for (int i = 0; i < 20; ++i)
    fail();
  const auto at_once = s->running.context.numbers->restarts.load();
  CHECK(at_once < 10); // the others found it waiting for its next start
  for (int i = 0; i < 40; ++i) {
    s->tick(std::chrono::milliseconds{250});
    fail();
  }
  const auto later = s->running.context.numbers->restarts.load();
  CHECK(later > at_once);
  CHECK(later < at_once + 40);
  for (int i = 0; i < 20; ++i)
    s->tick(std::chrono::milliseconds{500});
  CHECK(s->status().field.hash == truth(small_map(), frames));
  CHECK(s->running.context.numbers->restarts == later);
}
