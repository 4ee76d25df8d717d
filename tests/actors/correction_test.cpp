// Many keyframes are moved at once: the map is that of the final poses, and viewers see each region change once.

#include "actors/intake/keyframe_check.hpp"
#include "corrections.hpp"
#include "eager_viewer.hpp"
#include "faulty_disk.hpp"
#include "messages/moved_pose.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::toy;
using Catch::StartsWith;

namespace {

/// Has surfaces counted by region as they are encoded.
std::shared_ptr<std::map<region_key, int>> count_surfaces(service_config& config) {
  const auto counts = std::make_shared<std::map<region_key, int>>();
  config.encode = [counts](const region_mesh& surface, uint64_t keyframe_ns, uint64_t received_ns) {
    ++(*counts)[surface.region];
    return encode(surface, keyframe_ns, received_ns);
  };
  return counts;
}

} // namespace

TEST_CASE("a correction leaves the map of the final poses, and tells how many keyframes moved") {
  for (unsigned seed = 0; seed < 10; ++seed) {
    INFO("seed " << seed);
    std::mt19937 random{seed};
    auto by = std::make_shared<control>();
    stepped_service s{config_for(by), by};
    const auto frames = random_frames(seed + 500, 30);
    put_all(s, frames);
    auto after = frames;
    correction what;
    for (size_t i = 0; i < 20; ++i) {
      const auto to = shifted(frames[i].world_from_camera, random);
      after[i] = revised(frames[i], to);
      what.entries.push_back(move(frames[i], to));
    }
    what.entries.push_back({{"never came"}, {}, {}, {}});
    std::shuffle(what.entries.begin(), what.entries.end(), random);
    const auto v = correct(s, what);
    s.run_some(random, random() % 400);
    s.run();
    REQUIRE(v->has_value());
    CHECK(**v == verdict{outcome::accepted, {}, 20, {0, 1, 0, 0}});
    CHECK(hash_of(s) == truth_of(after));
    CHECK(shown(s) == wanted(s));
    CHECK(s.running.context.numbers->revised == 20);
    CHECK(s.running.context.numbers->unknown == 1);
    CHECK(s.running.context.numbers->corrections == 1);
    CHECK(correct(s, what) != nullptr); // again: all are there
    s.run();
    CHECK(hash_of(s) == truth_of(after));
  }
}

TEST_CASE("viewers see each region change once for a correction") {
  for (unsigned seed = 0; seed < 10; ++seed) {
    INFO("seed " << seed);
    std::mt19937 random{seed};
    auto by = std::make_shared<control>();
    auto config = config_for(by);
    const auto surfaces = count_surfaces(config);
    stepped_service s{config, by};
    const auto frames = random_frames(seed + 600, 40);
    put_all(s, frames);
    correction what;
    std::set<region_key> touched;
    for (const auto& frame : frames) {
      const auto after = revised(frame, shifted(frame.world_from_camera, random));
      what.entries.push_back(move(frame, after.world_from_camera));
      for (const auto* one : {&frame, &after})
        for (const auto& region : toy::regions_of(*one))
          touched.insert(region);
    }
    const watcher viewer{s};
    surfaces->clear();
    const auto v = correct(s, what);
    while (!v->has_value()) {
      s.run_some(random, 10);
      if (!v->has_value())
        CHECK(surfaces->empty());
    }
    s.run();
    CHECK((*v)->keyframes == frames.size());
    CHECK_FALSE(surfaces->empty());
    for (const auto& [region, count] : *surfaces) {
      CHECK(count == 1);
      CHECK(touched.contains(region));
    }
    CHECK(shown(s) == wanted(s));
  }
}

TEST_CASE("viewers wait for the end of a correction for three seconds at most, and for nothing else") {
  auto by = std::make_shared<control>();
  auto config = config_for(by);
  const auto surfaces = count_surfaces(config);
  stepped_service s{config, by};
  const auto frames = random_frames(610, 60);
  put_all(s, frames);
  std::mt19937 random{1};
  correction what;
  for (const auto& frame : frames)
    what.entries.push_back(move(frame, shifted(frame.world_from_camera, random)));
  const watcher viewer{s};
  surfaces->clear();
  const auto v = correct(s, what);
  const auto moved = [&] { return s.running.context.numbers->revised.load(); };
  while (moved() < 10)
    s.run_some(random, 1);
  auto other = random_frame(random, "elsewhere");
  other = revised(other, [&] {
    auto to = other.world_from_camera;
    to.m[3] += 1000;
    return to;
  }());
  const auto came = s.put(other);
  while (!came->has_value())
    s.run_some(random, 1);
  for (int i = 0; i < 2'000 && surfaces->empty() && !v->has_value(); ++i) // few steps: the correction takes longer
    s.run_some(random, 1);
  CHECK_FALSE(v->has_value());
  CHECK_FALSE(surfaces->empty());
  for (const auto& [region, count] : *surfaces)
    CHECK(region.x > 50);
  surfaces->clear();
  s.scheduler().advance_time(std::chrono::milliseconds{2'900});
  s.run_some(random, 20);
  REQUIRE_FALSE(v->has_value());
  CHECK(std::all_of(surfaces->begin(), surfaces->end(), [](const auto& one) { return one.first.x > 50; }));
  s.scheduler().advance_time(std::chrono::milliseconds{200});
  while (!v->has_value() && std::none_of(surfaces->begin(), surfaces->end(), [](const auto& one) { return one.first.x < 50; }))
    s.run_some(random, 1);
  CHECK_FALSE(v->has_value());
  s.run();
  CHECK((*v)->keyframes == frames.size());
  CHECK(shown(s) == wanted(s));
}

TEST_CASE("what is taken out together goes from view together, too") {
  auto by = std::make_shared<control>();
  auto config = config_for(by);
  const auto surfaces = count_surfaces(config);
  stepped_service s{config, by};
  put_all(s, random_frames(611, 40));
  surfaces->clear();
  const auto v = s.ask<verdict>(s.running.ingest.get(), retract_atom::value, keyframe_selection{});
  s.run();
  CHECK((*v)->keyframes == 40);
  for (const auto& [region, count] : *surfaces)
    CHECK(count == 1);
  CHECK(shown(s) == wanted(s));
}

TEST_CASE("a correction with a bad entry is refused whole, and says which it is and why") {
  auto by = std::make_shared<control>();
  stepped_service s{config_for(by), by};
  const auto frames = random_frames(620, 4);
  put_all(s, frames);
  correction good;
  for (const auto& frame : frames)
    good.entries.push_back(move(frame, a_transform(1)));
  const auto told = [&](const correction& what) {
    const auto v = correct(s, what);
    s.run();
    CHECK((*v)->what == outcome::refused);
    CHECK((*v)->keyframes == 0);
    return (*v)->reason;
  };
  auto bad = good;
  bad.entries[2].to.m[0] = 2;
  CHECK_THAT(told(bad), StartsWith("revisions[2]: pose is not a rotation times a scale"));
  bad = good;
  bad.entries[2].to = enlarged({}, 0.005f);
  CHECK_THAT(told(bad), StartsWith("revisions[2]: pose's scale is 0.005, not 0.01 to 100"));
  bad.entries[2] = {{}, "upstairs", enlarged({}, 200), 1};
  CHECK_THAT(told(bad), StartsWith("revisions[2]: transform's scale is 200, not 0.01 to 100"));
  bad.entries[2].to = enlarged({}, -1);
  CHECK_THAT(told(bad), StartsWith("revisions[2]: transform is a reflection"));
  bad = good;
  bad.entries[1].to.m[7] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THAT(told(bad), StartsWith("revisions[1]: pose[1][3] is nan"));
  bad = good;
  bad.entries[3].id = bad.entries[0].id;
  CHECK_THAT(told(bad), StartsWith("revisions[3]: keyframe_id is kf0, as in revisions[0]"));
  bad = good;
  bad.entries[0].id.value = std::string(300, 'x');
  CHECK_THAT(told(bad), StartsWith("revisions[0]: keyframe_id has 300 bytes, not 1 to 256"));
  bad = good;
  bad.entries[3] = {{}, "upstairs", {}, {}};
  CHECK_THAT(told(bad), StartsWith("revisions[3]: revision is missing"));
  bad.entries[3] = {{}, "upstairs", {}, 1};
  bad.entries[3].to.m[15] = 0;
  CHECK_THAT(told(bad), StartsWith("revisions[3]: transform[3][3] is 0, not 1"));
  CHECK_THAT(told({}), StartsWith("revisions has 0 entries, not 1 to 65536"));
  bad.entries.resize(correction::max_entries + 1);
  CHECK_THAT(told(bad), StartsWith("revisions has 65537 entries"));
  CHECK(hash_of(s) == truth_of(frames));
}

TEST_CASE("what has no room under its new pose, or cannot be read, stays, and the others move") {
  auto by = std::make_shared<control>();
  auto config = config_for(by);
  auto disk = std::make_shared<faulty_disk>();
  config.make_store = [disk] { return disk->make_store(0, false); };
  stepped_service s{config, by};
  const auto frames = random_frames(630, 12);
  put_all(s, frames);
  correction what;
  for (const auto& frame : frames)
    what.entries.push_back(move(frame, a_transform(3)));
  what.entries[4].to.m[3] = 1e30f; // no map is so large: the toy's regions end before
  what.entries.erase(what.entries.begin() + 4);
  std::mt19937 random{2};
  const uint64_t reads = disk->reads;
  const auto v = correct(s, what);
  while (disk->reads < reads + 9)
    s.run_some(random, 1);
  disk->reading = faulty_disk::fault::unreadable;
  s.run();
  REQUIRE(v->has_value());
  CHECK((*v)->what == outcome::not_now);
  CHECK((*v)->keyframes + (*v)->left.not_now == 11);
  CHECK((*v)->left.not_now > 0);
  CHECK_THAT((*v)->reason, Catch::Contains("keyframes were moved, and"));
  disk->reading = faulty_disk::fault::none;
  const auto again = correct(s, what);
  s.run();
  CHECK(again->value() == verdict{outcome::accepted, {}, 11});
  auto after = frames;
  for (size_t i = 0; i < after.size(); ++i)
    if (i != 4)
      after[i] = revised(frames[i], a_transform(3));
  CHECK(hash_of(s) == truth_of(after));
}

TEST_CASE("a revision whose number is not larger than the keyframe's last changes nothing") {
  auto by = std::make_shared<control>();
  auto config = config_for(by);
  const std::shared_ptr<keyframe_store> store
    = std::make_shared<spilling_store>(spilling_options{.cap_bytes = uint64_t{1} << 30, .folder = {}, .own_thread = false});
  config.make_store = [&] { return store; };
  auto s = std::make_unique<stepped_service>(config, by);
  const auto frame = random_frames(640, 1)[0];
  put_all(*s, {frame});
  const auto told = [&](const pose& to, std::optional<uint64_t> number) {
    const auto alone = s->put(revision{frame.id, to, number});
    s->run();
    return (*alone)->what;
  };
  CHECK(told(a_transform(1), 0) == outcome::accepted);
  CHECK(told(a_transform(2), 0) == outcome::duplicate);
  CHECK(told(a_transform(2), 7) == outcome::accepted);
  CHECK(told(a_transform(1), 6) == outcome::duplicate); // late
  SECTION("also after the partitioner died") {
    s->kill("partitioner");
    s->run();
  }
  SECTION("also for the next process") {
    s.reset();
    s = std::make_unique<stepped_service>(config, by);
  }
  SECTION("one without a number begins anew") {
    CHECK(told(a_transform(4), {}) == outcome::accepted);
    CHECK(told(a_transform(1), 3) == outcome::accepted);
    CHECK(told(a_transform(1), {}) == outcome::accepted); // it is there, and has no number any more
    CHECK(told(a_transform(2), 3) == outcome::accepted);
    CHECK(told(a_transform(2), 9) == outcome::accepted); // it is there, and the number counts all the same
    CHECK(told(a_transform(1), 9) == outcome::duplicate);
  }
  const auto v = correct(*s, {{move(frame, a_transform(1), 7)}});
  s->run();
  CHECK(v->value() == verdict{outcome::accepted, {}, 0, {1, 0, 0, 0}});
  CHECK(hash_of(*s) == truth_of({revised(frame, a_transform(2))}));
}

TEST_CASE("a group moves by one transform, once, and what comes later is not moved by it") {
  auto by = std::make_shared<control>();
  stepped_service s{config_for(by), by};
  auto frames = random_frames(650, 9);
  for (size_t i = 0; i < frames.size(); ++i)
    frames[i].group = i % 3 == 0 ? "" : i % 3 == 1 ? "upstairs" : "cellar";
  put_all(s, {frames.begin(), frames.begin() + 6});
  const auto by_how = a_transform(5);
  std::vector<keyframe> after;
  for (size_t i = 0; i < 6; ++i)
    after.push_back(frames[i].group == "upstairs" ? revised(frames[i], moved_pose(by_how, frames[i].world_from_camera))
                                                  : frames[i]);
  const auto v = correct(s, move_group("upstairs", by_how, 3));
  s.run();
  CHECK(v->value() == verdict{outcome::accepted, {}, 2});
  CHECK(hash_of(s) == truth_of(after));
  put_all(s, {frames.begin() + 6, frames.end()});
  after.insert(after.end(), frames.begin() + 6, frames.end());
  SECTION("the same message again") {}
  SECTION("again, after the partitioner died") {
    s.kill("partitioner");
    s.run();
  }
  const auto again = correct(s, move_group("upstairs", by_how, 3));
  s.run();
  CHECK(again->value() == verdict{outcome::accepted, {}, 0, {3, 0, 0, 0}});
  CHECK(hash_of(s) == truth_of(after));
  const auto back = correct(s, move_group("cellar", a_transform(1), 1));
  const auto none = correct(s, move_group("attic", a_transform(1), 1));
  s.run();
  CHECK((*back)->keyframes == 3);
  CHECK(none->value() == verdict{});
}

TEST_CASE("poses and transforms may have a scale: the map is that of the final poses, and the first one when all is undone") {
  for (unsigned seed = 0; seed < 10; ++seed) {
    INFO("seed " << seed);
    std::mt19937 random{seed};
    auto by = std::make_shared<control>();
    stepped_service s{config_for(by), by};
    auto frames = random_frames(655 + seed, 12);
    for (size_t i = 0; i < frames.size(); ++i)
      frames[i].group = i % 2 == 0 ? "upstairs" : "cellar";
    put_all(s, frames);
    const auto larger = enlarged(a_transform(5), 2);
    correction what = move_group("upstairs", larger, 1), back;
    std::vector<keyframe> after;
    for (const auto& frame : frames) {
      auto to = moved_pose(larger, frame.world_from_camera);
      if (frame.group == "cellar")
        what.entries.insert(what.entries.begin(), move(frame, to = enlarged(frame.world_from_camera, 0.5f), 1));
      after.push_back(revised(frame, to));
      back.entries.push_back(move(frame, frame.world_from_camera, 3));
    }
    const auto v = correct(s, what);
    s.run_some(random, random() % 200);
    if (seed % 2 == 0)
      s.kill("partitioner");
    s.run();
    REQUIRE(v->has_value());
    CHECK((*v)->what == outcome::accepted);
    CHECK(hash_of(s) == truth_of(after));
    for (int i = 0; i < 4; ++i)
      s.tick(std::chrono::milliseconds{2'000});
    CHECK(shown(s) == wanted(s));
    // A group that would become too large stays, whoever asks for it.
    for (uint64_t number : {2, 3}) {
      const auto too_large = correct(s, move_group("upstairs", enlarged({}, 60), number));
      s.run();
      CHECK((*too_large)->left.refused == 6);
      CHECK_THAT((*too_large)->reason, Catch::Contains("moved with its group, its pose's scale is 120, not 0.01 to 100"));
    }
    CHECK(hash_of(s) == truth_of(after));
    CHECK(correct(s, back) != nullptr);
    s.run();
    CHECK(hash_of(s) == truth_of(frames));
  }
}
