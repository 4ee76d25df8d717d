// A request that takes out many, and is asked for again since somebody died, means what was there when it was first asked for.

#include "actors/store/spilling_store.hpp"
#include "holding_store.hpp"
#include "watched_service.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::toy;

namespace {

/// A service of which the first keyframe's rays cannot be read before the test says so: what is to take it out cannot end.
struct held_service {
  held_service() {
    auto config = config_for(by);
    config.credit = 64;
    config.make_store = [this] { return store; };
    s = std::make_unique<stepped_service>(config, by);
    in = std::make_unique<offered>(*s);
    for (const auto& frame : frames)
      in->put(frame);
    s->run();
    REQUIRE(in->verdicts[outcome::accepted] == 6);
    store->held_gets.insert(frames[0].id);
  }
  ~held_service() { end(*s, *in); }

  /// Asks for it, and lets it take out all but the first.
  void begin_clearing(const keyframe_selection& which) {
    in->sink->retract_all(which, [this](const verdict& v) { cleared = v; });
    s->run();
    REQUIRE(s->running.context.numbers->retracted == 5);
  }
  /// Whoever has that role dies, and the rays can be read when there is a successor.
  void kill(const std::string& role) {
    s->kill(role);
    s->run();
    CHECK_FALSE(cleared);
    store->release();
    s->run();
    for (int i = 0; i < 20 && !cleared; ++i)
      s->tick(std::chrono::milliseconds{250});
    CHECK(cleared.value_or(verdict{outcome::refused, {}}).what == outcome::accepted);
  }

  static std::vector<keyframe> some(unsigned seed, size_t count, const std::string& prefix) {
    auto out = random_frames(seed, count);
    for (auto& frame : out) {
      frame.id.value = prefix + frame.id.value;
      frame.id.session = "monday";
      frame.source = "http";
      frame.group = "upstairs";
      frame.timestamp_ns = 1000;
    }
    return out;
  }

  const std::vector<keyframe> frames = some(900, 6, "old-"), later = some(901, 3, "new-");
  std::shared_ptr<holding_store> store = std::make_shared<holding_store>(
    std::make_shared<spilling_store>(spilling_options{.cap_bytes = uint64_t{1} << 30, .folder = {}, .own_thread = false}));
  std::shared_ptr<control> by = std::make_shared<control>();
  std::unique_ptr<stepped_service> s;
  std::unique_ptr<offered> in;
  std::optional<verdict> cleared;
};

} // namespace

TEST_CASE("what came after a request that takes out many stays, also if the request is asked for again since somebody died") {
  const std::vector<keyframe_selection> selections{
    {}, {"monday", {}, {}}, {{}, "http", {}}, {{}, {}, "upstairs"}, {{}, {}, {}, 2000}};
  for (const auto* role : {"partitioner", "ingest"})
    for (const auto& which : selections) {
      INFO(role << ", selection " << (&which - selections.data()));
      held_service f;
      f.begin_clearing(which);
      for (const auto& frame : f.later)
        f.in->put(frame);
      f.s->run();
      REQUIRE(f.in->verdicts[outcome::accepted] == 9); // so nobody has them but us
      f.kill(role);
      CHECK(f.s->status().keyframes == f.later.size());
      CHECK(to_hex(f.s->status().field.hash) == to_hex(truth(small_map(), f.later)));
      CHECK(f.in->answered() == f.in->asked);
    }
}

TEST_CASE("what came before such a request goes, also what was under way, though it is stored by a successor") {
  held_service f;
  f.store->held_puts.insert(f.later[0].id);
  f.in->put(f.later[0]);
  f.s->run();
  f.begin_clearing({});
  f.kill("partitioner");
  f.s->run();
  CHECK(f.in->answered() == f.in->asked);
  CHECK(f.s->status().keyframes == 0);
  CHECK(f.s->status().field.hash == map_hash{});
}

TEST_CASE("a retraction that came after a request that takes out all outlives it, also if that is asked for again") {
  for (const auto* role : {"partitioner", "ingest"}) {
    INFO(role);
    held_service f;
    f.in->retract(f.later[0]);
    f.begin_clearing({});
    f.in->retract(f.later[1]);
    f.s->run();
    CHECK(f.in->verdicts[outcome::unknown] == 2);
    f.kill(role);
    f.in->put(f.later[0]);
    f.in->put(f.later[1]);
    f.s->run();
    CHECK(f.in->verdicts[outcome::accepted] == 7);
    CHECK(f.in->verdicts[outcome::retracted] == 1);
    CHECK(to_hex(f.s->status().field.hash) == to_hex(truth(small_map(), {f.later[0]})));
  }
}
