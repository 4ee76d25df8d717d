// Many keyframes are taken out at once: exactly those that are meant and came before, whatever dies meanwhile.

#include "actors/intake/ingest.hpp"
#include "faulty_disk.hpp"
#include "toy_service.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace tessera;
using namespace tessera::toy;

namespace {

const std::vector<std::string> sessions{"", "monday", "tuesday"}, sources{"http", "shm"}, groups{"", "upstairs"};

std::vector<keyframe> labelled_frames(unsigned seed, size_t count) {
  auto out = random_frames(seed, count);
  std::mt19937 random{seed};
  for (auto& frame : out) {
    frame.id.session = sessions[random() % sessions.size()];
    frame.source = sources[random() % sources.size()];
    frame.group = groups[random() % groups.size()];
  }
  return out;
}

bool meant(const keyframe_selection& which, const keyframe& frame) {
  return (!which.session || *which.session == frame.id.session) && (!which.source || *which.source == frame.source)
         && (!which.group || *which.group == frame.group)
         && (!which.before_ns || (frame.timestamp_ns != 0 && frame.timestamp_ns < *which.before_ns));
}

std::vector<keyframe> without(std::vector<keyframe> frames, const keyframe_selection& which) {
  std::erase_if(frames, [&](const keyframe& frame) { return meant(which, frame); });
  return frames;
}

std::shared_ptr<std::optional<verdict>> clear(stepped_service& s, const keyframe_selection& which = {}) {
  return s.ask<verdict>(s.running.ingest.get(), retract_atom::value, which);
}

} // namespace

TEST_CASE("all keyframes, or those of a session, a source, a group or a time, are taken out as if they had never come") {
  const std::vector<keyframe_selection> selections{{},
                                                   {"monday", {}, {}},
                                                   {"", {}, {}},
                                                   {{}, "http", {}},
                                                   {{}, {}, "upstairs"},
                                                   {{}, {}, ""},
                                                   {"tuesday", "shm", "upstairs"},
                                                   {{}, {}, {}, 1u << 31},
                                                   {"monday", {}, {}, 1u << 31},
                                                   {"never", {}, {}}};
  auto frames = labelled_frames(40, 24);
  frames[3].timestamp_ns = 0;
  for (const auto& which : selections) {
    auto by = std::make_shared<control>();
    stepped_service s{config_for(by), by};
    for (const auto& f : frames)
      s.put(f);
    s.run();
    auto v = clear(s, which);
    s.run();
    const auto left = without(frames, which);
    REQUIRE(v->has_value());
    CHECK(**v == verdict{outcome::accepted, {}, frames.size() - left.size()});
    CHECK(s.status().keyframes == left.size());
    CHECK(to_hex(s.status().field.hash) == to_hex(truth(small_map(), left)));
    CHECK(s.running.context.numbers->retracted == frames.size() - left.size());
    CHECK(s.running.context.numbers->unknown == 0);
    auto cameras = s.ask<std::vector<camera>>(s.running.broadcaster.get(), camera_atom::value);
    s.run();
    CHECK(cameras->value().size() == left.size());
    // And all can come again.
    for (const auto& f : frames)
      s.put(f);
    s.run();
    CHECK(to_hex(s.status().field.hash) == to_hex(truth(small_map(), frames)));
  }
}

TEST_CASE("a request that takes out many keyframes is answered when the last is out, however long that takes") {
  const auto frames = random_frames(43, 60);
  auto by = std::make_shared<control>();
  stepped_service s{config_for(by), by};
  for (const auto& f : frames)
    s.put(f);
  s.run();
  auto v = clear(s);
  std::mt19937 random{3};
  std::chrono::seconds passed{0};
  for (; !v->has_value() && passed < std::chrono::minutes{50}; ++passed) {
    s.run_some(random, 4);
    s.scheduler().advance_time(std::chrono::seconds{1});
  }
  REQUIRE(v->has_value());
  CHECK(**v == verdict{outcome::accepted, {}, frames.size()});
  CHECK(passed > ingest_config{}.request_timeout);
}

TEST_CASE("what came before goes, also while it is under way; what comes after stays, also under the same id") {
  const auto frames = random_frames(41, 12);
  const auto later = random_frames(42, 6); // the same ids, other content
  for (unsigned seed = 0; seed < 10; ++seed) {
    INFO("seed " << seed);
    auto by = std::make_shared<control>();
    auto config = config_for(by);
    config.credit = 64;
    stepped_service s{config, by};
    std::mt19937 random{seed};
    for (size_t i = 0; i < 6; ++i)
      s.put(frames[i]);
    s.run();
    auto answers = std::make_shared<std::vector<verdict>>();
    // One asker, so that the order is that of sending.
    s.system.spawn<script_actor>([answers, in = s.running.ingest.get(), frames, later](caf::event_based_actor* self) {
      const auto note = [answers](const verdict& v) { answers->push_back(v); };
      for (size_t i = 6; i < frames.size(); ++i)
        self->request(in, std::chrono::minutes{60}, ingest_atom::value, map_input{frames[i]}).then(note);
      self->request(in, std::chrono::minutes{60}, retract_atom::value, keyframe_selection{}).then(note);
      for (const auto& f : later)
        self->request(in, std::chrono::minutes{60}, ingest_atom::value, map_input{f}).then(note);
      return caf::behavior{};
    });
    s.run_some(random, 300);
    s.run();
    REQUIRE(answers->size() == 13);
    int accepted = 0;
    for (const auto& v : *answers) {
      accepted += v.what == outcome::accepted;
      CHECK((v.keyframes == 0 || v.keyframes == 12));
    }
    CHECK(accepted == 13);
    CHECK(s.status().keyframes == later.size());
    CHECK(to_hex(s.status().field.hash) == to_hex(truth(small_map(), later)));
  }
}

TEST_CASE("few of many are under way at once, and others are answered in between") {
  auto by = std::make_shared<control>();
  auto config = config_for(by);
  stepped_service s{config, by};
  const auto frames = random_frames(43, 60);
  for (const auto& f : frames)
    s.put(f);
  s.run();
  const auto taken_out = [&] {
    return static_cast<size_t>(std::count_if(by->asked.begin(), by->asked.end(), [](const auto& what) { return what.sign < 0; }));
  };
  auto v = clear(s);
  std::mt19937 random{1};
  while (taken_out() == 0)
    s.run_some(random, 1);
  const auto details = [&] {
    for (const auto& a : s.running.context.registry->statuses())
      if (a.role == "partitioner")
        return a;
    return actor_status{};
  };
  CHECK(details().mailbox <= 8);
  CHECK(taken_out() <= 8);
  s.run();
  CHECK(taken_out() == frames.size());
  CHECK(v->value().keyframes == frames.size());
  CHECK(s.status().field.hash == map_hash{});
}

TEST_CASE("whoever dies while keyframes are taken out, all that was meant is gone, and nothing else") {
  const std::vector<std::string> roles{"ingest", "partitioner", "broadcaster", "placement", "device"};
  for (unsigned seed = 0; seed < 20; ++seed) {
    INFO("seed " << seed);
    auto by = std::make_shared<control>();
    stepped_service s{config_for(by), by};
    auto sink = make_ingest_sink(s.system, s.running, 1000);
    s.run();
    const auto frames = labelled_frames(400 + seed, 20);
    for (const auto& f : frames)
      sink->offer(f, [](const verdict&) {});
    s.run();
    std::mt19937 random{seed};
    const keyframe_selection which{seed % 2 == 0 ? std::nullopt : std::optional<std::string>{"monday"}, {}, {}};
    std::optional<verdict> v;
    sink->retract_all(which, [&](const verdict& answer) { v = answer; });
    for (int i = 0; i < 3; ++i) {
      s.run_some(random, random() % 150);
      s.kill(roles[random() % roles.size()]);
    }
    s.run();
    for (int i = 0; i < 20; ++i)
      s.tick(std::chrono::milliseconds{250});
    REQUIRE(v);
    CHECK(v->what == outcome::accepted);
    const auto left = without(frames, which);
    CHECK(s.status().keyframes == left.size());
    CHECK(to_hex(s.status().field.hash) == to_hex(truth(small_map(), left)));
    CHECK(s.running.context.numbers->lost_core == 0);
    sink->close();
    sink.reset();
    s.run();
  }
}

TEST_CASE("a partitioner's successor still knows of each keyframe what it can be taken out by") {
  auto by = std::make_shared<control>();
  stepped_service s{config_for(by), by};
  const auto frames = labelled_frames(44, 16);
  for (const auto& f : frames)
    s.put(f);
  s.run();
  s.kill("partitioner");
  const keyframe_selection which{{}, "shm", "upstairs"};
  auto v = clear(s, which); // it waits until it is known what is live
  auto old = clear(s, {{}, {}, {}, 1u << 30});
  s.run();
  const auto left = without(frames, which), newer = without(left, {{}, {}, {}, 1u << 30});
  CHECK(v->value().keyframes == frames.size() - left.size());
  CHECK(old->value().keyframes == left.size() - newer.size());
  CHECK(newer.size() < left.size());
  CHECK(to_hex(s.status().field.hash) == to_hex(truth(small_map(), newer)));
}

TEST_CASE("if some cannot be taken out now, the others are, and the answer says to ask again") {
  auto by = std::make_shared<control>();
  auto config = config_for(by);
  auto disk = std::make_shared<faulty_disk>();
  config.make_store = [disk] { return disk->make_store(0, false); };
  stepped_service s{config, by};
  const auto frames = random_frames(45, 12);
  for (const auto& f : frames)
    s.put(f);
  s.run();
  auto v = clear(s);
  const uint64_t reads = disk->reads;
  std::mt19937 random{2};
  while (disk->reads < reads + 9) // the first eight, and one of the rest
    s.run_some(random, 1);
  disk->reading = faulty_disk::fault::unreadable;
  s.run();
  REQUIRE(v->has_value());
  CHECK((*v)->what == outcome::not_now);
  CHECK((*v)->keyframes >= 9);
  CHECK((*v)->keyframes < 12);
  CHECK(s.status().keyframes == 12 - (*v)->keyframes);
  disk->reading = faulty_disk::fault::none;
  auto again = clear(s);
  s.run();
  CHECK(again->value() == verdict{outcome::accepted, {}, 12 - (*v)->keyframes});
  CHECK(s.status().field.hash == map_hash{});
}
