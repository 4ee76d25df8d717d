// A retraction that comes before its keyframe is remembered, so that the keyframe stays out when it comes late.

#include "actors/store/spilling_store.hpp"
#include "holding_store.hpp"
#include "wanted_map.hpp"
#include "watched_service.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::toy;

namespace {

/// A store, and services on it one after another.
struct lasting {
  explicit lasting(size_t remembered = default_remembered, retention_limits limits = {})
    : store{std::make_shared<holding_store>(std::make_shared<spilling_store>(
      spilling_options{.cap_bytes = uint64_t{1} << 30, .folder = {}, .own_thread = false, .remembered = remembered}))},
      retain{limits} {
    start();
  }
  void start() {
    s.reset();
    auto config = config_for(by);
    config.credit = 64;
    config.retain = retain;
    config.make_store = [this] { return store; };
    s = std::make_unique<stepped_service>(config, by);
  }
  verdict told(const map_input& what) {
    const auto v = s->put(what);
    s->run();
    REQUIRE(v->has_value());
    return **v;
  }
  outcome tell(const map_input& what) { return told(what).what; }
  auto ask_clear(const keyframe_selection& which) { return s->ask<verdict>(s->running.ingest.get(), retract_atom::value, which); }
  verdict clear(const keyframe_selection& which = {}) {
    const auto v = ask_clear(which);
    s->run();
    REQUIRE(v->has_value());
    return **v;
  }
  [[nodiscard]] const telemetry& numbers() const { return *s->running.context.numbers; }
  std::string hash() { return to_hex(s->status().field.hash); }

  std::shared_ptr<holding_store> store;
  retention_limits retain;
  std::shared_ptr<control> by = std::make_shared<control>();
  std::unique_ptr<stepped_service> s;
};

std::string hash_of(const std::vector<keyframe>& frames) {
  return to_hex(truth(small_map(), frames));
}

keyframe in_session(keyframe frame, const std::string& session) {
  frame.id.session = session;
  return frame;
}

} // namespace

TEST_CASE("a keyframe that comes after its retraction stays out, however often both come, and others come") {
  lasting f;
  const auto frames = random_frames(800, 3);
  const auto unknown = f.told(retraction{frames[0].id});
  CHECK(unknown.what == outcome::unknown);
  CHECK_THAT(unknown.reason, Catch::Contains("stays out"));
  for (int i = 0; i < 2; ++i) {
    const auto late = f.told(frames[0]);
    CHECK(late.what == outcome::retracted);
    CHECK_THAT(late.reason, Catch::Contains("kf0 was retracted"));
    CHECK(f.told(retraction{frames[0].id}) == unknown);
  }
  CHECK(f.tell(revision{frames[0].id, {}}) == outcome::unknown);
  CHECK(f.tell(frames[1]) == outcome::accepted);
  const auto same_id = in_session(frames[0], "monday");
  CHECK(f.tell(same_id) == outcome::accepted); // another session's
  CHECK(f.hash() == hash_of({same_id, frames[1]}));
  CHECK(shown(*f.s) == wanted(*f.s));
  CHECK(f.numbers().kept_out == 2);
  CHECK(f.numbers().retractions == 1);
  CHECK(f.numbers().retracted == 0);
  CHECK(f.numbers().set_aside.total() == 0);
}

TEST_CASE("a retraction that came first outlives whoever dies, and the process") {
  for (const auto& role : core_roles) {
    INFO(role);
    lasting f;
    const auto frames = random_frames(801, 2);
    CHECK(f.tell(frames[1]) == outcome::accepted);
    CHECK(f.tell(retraction{frames[0].id}) == outcome::unknown);
    f.s->kill(role);
    f.s->run();
    CHECK(f.tell(frames[0]) == outcome::retracted);
    f.start();
    CHECK(f.tell(frames[0]) == outcome::retracted);
    CHECK(f.hash() == hash_of({frames[1]}));
  }
}

TEST_CASE("an id that was live may come again, however it went, also if it is retracted once more") {
  const auto frames = random_frames(802, 3);
  const auto restarts = GENERATE(false, true);
  CAPTURE(restarts);
  lasting f{default_remembered, {.keyframes = 2}};
  CHECK(f.tell(frames[0]) == outcome::accepted);
  CHECK(f.tell(frames[1]) == outcome::accepted);
  SECTION("by a retraction") {
    CHECK(f.tell(retraction{frames[0].id}) == outcome::accepted);
  }
  SECTION("with all") {
    CHECK(f.clear().keyframes == 2);
    CHECK(f.tell(frames[1]) == outcome::accepted);
  }
  SECTION("since it was the oldest") {
    CHECK(f.tell(frames[2]) == outcome::accepted);
    CHECK(f.tell(retraction{frames[2].id}) == outcome::accepted);
  }
  if (restarts)
    f.start();
  CHECK(f.told(retraction{frames[0].id}) == verdict{outcome::unknown, {}});
  CHECK(f.numbers().retractions == 0);
  CHECK(f.tell(frames[0]) == outcome::accepted);
  CHECK(f.hash() == hash_of({frames[0], frames[1]}));
}

TEST_CASE("who takes out all ends the retractions before it, and who takes out a session ends that session's") {
  lasting f;
  const auto frames = random_frames(803, 2);
  const auto mondays = in_session(frames[0], "monday");
  CHECK(f.tell(retraction{frames[0].id}) == outcome::unknown);
  CHECK(f.tell(retraction{mondays.id}) == outcome::unknown);
  // What only the keyframe could tell says nothing of one that never came.
  const std::vector<keyframe_selection> others{{{}, "http", {}}, {{}, {}, ""}, {{}, {}, {}, ~0ull}, {"monday", {}, "upstairs"}};
  for (const auto& which : others)
    CHECK(f.clear(which) == verdict{});
  CHECK(f.numbers().retractions == 2);
  CHECK(f.clear({"monday", {}, {}}) == verdict{});
  CHECK(f.tell(mondays) == outcome::accepted);
  CHECK(f.tell(frames[0]) == outcome::retracted);
  CHECK(f.clear().keyframes == 1);
  CHECK(f.numbers().retractions == 0);
  CHECK(f.tell(frames[0]) == outcome::accepted);
  f.start();
  CHECK(f.hash() == hash_of({frames[0]}));
}

TEST_CASE("retractions, requests that take out all, and keyframes count in the order in which they come") {
  const auto frame = random_frames(804, 1)[0];
  for (unsigned seed = 0; seed < 20; ++seed) {
    INFO("seed " << seed);
    std::mt19937 random{seed};
    for (const auto retracted_first : {true, false}) {
      lasting f;
      std::shared_ptr<std::optional<verdict>> gone, all;
      if (retracted_first)
        gone = f.s->put(retraction{frame.id});
      all = f.ask_clear({});
      if (!retracted_first)
        gone = f.s->put(retraction{frame.id});
      const auto late = f.s->put(frame);
      f.s->run_some(random, random() % 30);
      f.s->run();
      CHECK((*gone)->what == outcome::unknown);
      CHECK(**all == verdict{});
      CHECK((*late)->what == (retracted_first ? outcome::accepted : outcome::retracted));
      CHECK(f.s->status().keyframes == (retracted_first ? 1 : 0));
    }
  }
}

TEST_CASE("so many retractions are remembered, the oldest are let go of, and counted") {
  const auto frames = random_frames(805, 3);
  {
    lasting f{2};
    for (const auto& frame : frames)
      CHECK(f.tell(retraction{frame.id}) == outcome::unknown);
    CHECK(f.numbers().retractions == 2);
    CHECK(f.numbers().retractions_let_go == 1);
    CHECK(f.tell(frames[0]) == outcome::accepted);
    CHECK(f.tell(frames[1]) == outcome::retracted);
    CHECK(f.tell(frames[2]) == outcome::retracted);
  }
  lasting none{0};
  CHECK(none.told(retraction{frames[0].id}) == verdict{outcome::unknown, {}});
  CHECK(none.tell(frames[0]) == outcome::accepted);
}

TEST_CASE("a retraction that cannot be stored stays with its sender") {
  lasting f;
  const auto frame = random_frames(806, 1)[0];
  f.store->remembers = false;
  const auto v = f.told(retraction{frame.id});
  CHECK(v.what == outcome::not_now);
  CHECK_THAT(v.reason, Catch::Contains("the retraction could not be stored") && Catch::Contains("No space left"));
  f.store->remembers = true;
  CHECK(f.tell(retraction{frame.id}) == outcome::unknown);
  CHECK(f.tell(frame) == outcome::retracted);
}

TEST_CASE("whoever dies while retractions and keyframes come in any order, those that were retracted first stay out") {
  for (unsigned seed = 0; seed < 25; ++seed) {
    INFO("seed " << seed);
    lasting f;
    auto& s = *f.s;
    offered in{s};
    std::mt19937 random{seed};
    const auto frames = random_frames(820 + seed, 20);
    std::vector<keyframe> left;
    int late = 0;
    for (const auto& frame : frames) {
      const auto first = random() % 3 == 0;
      if (first)
        in.retract(frame);
      in.put(frame);
      if (random() % 4 == 0)
        in.put(frame); // again
      if (!first)
        left.push_back(frame);
      late += first ? 1 : 0;
      s.run_some(random, random() % 100);
      if (random() % 3 == 0)
        s.kill(core_roles[random() % core_roles.size()]);
    }
    s.run();
    for (int i = 0; i < 20; ++i)
      s.tick(std::chrono::milliseconds{250});
    CHECK(in.answered() == in.asked);
    CHECK(in.verdicts[outcome::retracted] >= late);
    CHECK(in.verdicts[outcome::refused] + in.verdicts[outcome::not_now] + in.verdicts[outcome::conflict] == 0);
    CHECK(to_hex(s.status().field.hash) == hash_of(left));
    CHECK(s.status().keyframes == left.size());
    CHECK(shown(s) == wanted(s));
    end(s, in);
  }
}
