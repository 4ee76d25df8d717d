// Corrections while actors die, and beside what comes at the same time.

#include "actors/store/spilling_store.hpp"
#include "corrections.hpp"
#include "faulty_disk.hpp"
#include "holding_store.hpp"
#include "messages/moved_pose.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::toy;

TEST_CASE("what comes after a correction is not undone by a successor that is asked for the correction again") {
  const auto frames = random_frames(660, 40);
  for (unsigned seed = 0; seed < 10; ++seed) {
    INFO("seed " << seed);
    std::mt19937 random{seed};
    auto by = std::make_shared<control>();
    stepped_service s{config_for(by), by};
    put_all(s, frames);
    correction what;
    std::vector<keyframe> after;
    for (const auto& frame : frames) {
      what.entries.push_back(move(frame, shifted(frame.world_from_camera, random)));
      after.push_back(revised(frame, what.entries.back().to));
    }
    const auto v = correct(s, what);
    while (s.running.context.numbers->revised < 20)
      s.run_some(random, 1);
    std::vector<answer_ptr> later;
    for (size_t i = 0; i < 5; ++i) {
      const auto to = shifted(after[i].world_from_camera, random);
      later.push_back(s.put(revision{frames[i].id, to}));
      after[i] = revised(frames[i], to);
    }
    while (s.running.context.numbers->revised < 32)
      s.run_some(random, 1);
    s.kill("partitioner");
    s.run();
    REQUIRE(v->has_value());
    for (const auto& one : later)
      CHECK(one->has_value());
    CHECK(hash_of(s) == truth_of(after));
  }
}

TEST_CASE("a keyframe that comes just before its group moves is moved, and one that comes just after is not, whoever dies") {
  for (unsigned seed = 0; seed < 60; ++seed) {
    INFO("seed " << seed);
    std::mt19937 random{seed};
    auto by = std::make_shared<control>();
    auto config = config_for(by);
    config.credit = 64;
    stepped_service s{config, by};
    auto frames = random_frames(670 + seed, 12);
    for (auto& frame : frames)
      frame.group = "upstairs";
    put_all(s, {frames.begin(), frames.begin() + 8});
    const auto how = a_transform(3);
    std::vector<answer_ptr> answers;
    answers.push_back(s.put(frames[9]));
    for (int again = 0; again < 6; ++again) { // changes of one id take their time
      answers.push_back(s.put(frames[8]));
      answers.push_back(s.put(retraction{frames[8].id}));
    }
    answers.push_back(s.put(frames[8]));
    answers.push_back(correct(s, move_group("upstairs", how, 1)));
    for (size_t i = 10; i < 12; ++i)
      answers.push_back(s.put(frames[i]));
    s.run_some(random, random() % 250);
    s.kill("partitioner");
    s.run();
    for (const auto& one : answers)
      CHECK(one->has_value());
    std::vector<keyframe> after;
    for (size_t i = 0; i < frames.size(); ++i)
      after.push_back(i < 10 ? revised(frames[i], moved_pose(how, frames[i].world_from_camera)) : frames[i]);
    CHECK(hash_of(s) == truth_of(after));
  }
}

TEST_CASE("a group is collected once earlier changes are done, so that none of it moves before all of it is stored") {
  auto by = std::make_shared<control>();
  auto config = config_for(by);
  const auto store = std::make_shared<holding_store>(
    std::make_shared<spilling_store>(spilling_options{.cap_bytes = uint64_t{1} << 30, .folder = {}, .own_thread = false}));
  config.make_store = [&] { return store; };
  stepped_service s{config, by};
  auto frames = random_frames(690, 4);
  for (size_t i = 0; i < 3; ++i)
    frames[i].group = "upstairs";
  put_all(s, {frames[0]});
  const auto earlier = GENERATE(1u, 3u); // of the group, or not
  store->held_puts.insert(frames[earlier].id);
  const auto coming = s.put(frames[earlier]);
  s.run();
  const auto how = a_transform(3);
  const auto v = correct(s, move_group("upstairs", how, 1));
  s.run();
  CHECK_FALSE(coming->has_value());
  CHECK(s.running.context.numbers->revised == 0); // else a successor would take what comes for one that came after the move
  store->release();
  s.run();
  CHECK((*coming)->what == outcome::accepted);
  CHECK(v->value() == verdict{outcome::accepted, {}, earlier == 1 ? 2u : 1u});
  const auto moved = [&](const keyframe& frame) { return revised(frame, moved_pose(how, frame.world_from_camera)); };
  CHECK(hash_of(s) == truth_of({moved(frames[0]), earlier == 1 ? moved(frames[1]) : frames[3]}));
}

TEST_CASE("whoever dies while keyframes are corrected, the map is that of the final poses") {
  for (unsigned seed = 0; seed < 40; ++seed) {
    INFO("seed " << seed);
    std::mt19937 random{seed};
    auto by = std::make_shared<control>();
    stepped_service s{config_for(by), by};
    auto frames = random_frames(700 + seed, 24);
    for (auto& frame : frames)
      frame.group = random() % 3 == 0 ? "" : random() % 2 == 0 ? "upstairs" : "cellar";
    auto sink = make_ingest_sink(s.system, s.running, 1000);
    s.run();
    std::vector<pose> at;
    for (size_t i = 0; i < frames.size(); ++i)
      at.push_back(frames[i].world_from_camera);
    for (size_t i = 0; i < 16; ++i)
      sink->offer(frames[i], [](const verdict&) {});
    s.run();
    int asked = 0, told = 0;
    const auto count = [&](const verdict& v) {
      ++told;
      CHECK((v.what == outcome::accepted || v.what == outcome::duplicate));
    };
    size_t live = 16;
    uint64_t number = 0;
    for (int round = 0; round < 6; ++round) {
      ++asked;
      if (const auto kind = random() % 3; kind == 0) {
        correction what;
        for (size_t i = 0; i < live; i += 1 + random() % 3) {
          at[i] = shifted(at[i], random);
          what.entries.push_back(move(frames[i], at[i], random() % 2 == 0 ? std::optional{++number} : std::nullopt));
        }
        sink->correct(std::move(what), count);
      } else if (kind == 1) {
        const auto* group = random() % 2 == 0 ? "upstairs" : "cellar";
        const auto how = a_transform(static_cast<float>(random() % 5));
        for (size_t i = 0; i < live; ++i)
          if (frames[i].group == group)
            at[i] = moved_pose(how, at[i]);
        sink->correct(move_group(group, how, ++number), count);
      } else if (live < frames.size()) {
        sink->offer(frames[live++], count);
      } else {
        --asked;
      }
      s.run_some(random, random() % 120);
      if (random() % 2 == 0)
        s.kill(core_roles[random() % core_roles.size()]);
    }
    for (int i = 0; i < 60 && told < asked; ++i)
      s.tick(std::chrono::milliseconds{250});
    CHECK(told == asked);
    std::vector<keyframe> after;
    for (size_t i = 0; i < live; ++i)
      after.push_back(revised(frames[i], at[i]));
    CHECK(s.status().keyframes == live);
    CHECK(hash_of(s) == truth_of(after));
    for (int i = 0; i < 4; ++i)
      s.tick(std::chrono::milliseconds{2'000});
    CHECK(shown(s) == wanted(s));
    sink->close();
    sink.reset();
    s.run();
  }
}
