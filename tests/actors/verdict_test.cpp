// Bad, or not now: what is wrong with a keyframe is its producer's trouble, what is wrong with us is ours.

#include "faulty_disk.hpp"
#include "toy_gpu.hpp"
#include "toy_service.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::toy;

namespace {

using fault = faulty_disk::fault;

struct faulty_service {
  explicit faulty_service(const std::function<void(service_config&)>& change = {}) {
    auto config = config_for(by);
    config.make_store = [this] { return disk->make_store(0, false); };
    if (change)
      change(config);
    s = std::make_unique<stepped_service>(config, by);
  }
  verdict put(const keyframe& frame) { return answer(s->put(frame)); }
  verdict retract(const keyframe& frame) { return answer(s->put(retraction{frame.id})); }
  verdict revise(const keyframe& frame, float x) {
    auto to = frame.world_from_camera;
    to.m[3] = x;
    return answer(s->put(revision{frame.id, to}));
  }
  [[nodiscard]] uint64_t not_now(hindrance why) const { return numbers().not_now_by[static_cast<size_t>(why)]; }
  [[nodiscard]] const telemetry& numbers() const { return *s->running.context.numbers; }

  std::shared_ptr<control> by = std::make_shared<control>();
  std::shared_ptr<faulty_disk> disk = std::make_shared<faulty_disk>();
  std::unique_ptr<stepped_service> s;

private:
  verdict answer(const std::shared_ptr<std::optional<verdict>>& v) {
    s->run();
    REQUIRE(v->has_value());
    return **v;
  }
};

} // namespace

TEST_CASE("a store that cannot be written leaves keyframes with their senders, says so, and takes them afterwards") {
  for (const auto& [how, why, says] :
       {std::tuple{fault::full, hindrance::store, "No space left"}, std::tuple{fault::no_memory, hindrance::memory, "memory"}}) {
    faulty_service f;
    const auto frames = random_frames(20, 3);
    CHECK(f.put(frames[0]).what == outcome::accepted);
    f.disk->writing = how;
    for (int i = 0; i < 3; ++i) {
      const auto v = f.put(frames[1]);
      CHECK(v.what == outcome::not_now);
      CHECK_THAT(v.reason, Catch::Contains("could not be stored") && Catch::Contains(says));
    }
    CHECK(f.not_now(why) == 3);
    CHECK(f.numbers().refused == 0);
    CHECK(f.numbers().set_aside.total() == 0);
    REQUIRE(f.numbers().shortage.current());
    CHECK_THAT(f.numbers().shortage.current()->text, Catch::Contains(says));
    CHECK(f.s->status().field.hash == truth(small_map(), {frames[0]}));
    f.disk->writing = fault::none;
    CHECK(f.put(frames[0]).what == outcome::duplicate);
    CHECK(f.numbers().shortage.current()); // a repetition needs no room: it says nothing
    CHECK(f.put(frames[1]).what == outcome::accepted);
    CHECK_FALSE(f.numbers().shortage.current());
    CHECK(f.s->status().field.hash == truth(small_map(), {frames[0], frames[1]}));
  }
}

TEST_CASE("a store that cannot be read leaves retractions and new poses with their senders, and the map as it was") {
  for (const auto how : {fault::unreadable, fault::no_memory}) {
    faulty_service f;
    const auto frames = random_frames(21, 3);
    for (const auto& frame : frames)
      f.put(frame);
    const auto before = f.s->status();
    f.disk->reading = how;
    CHECK(f.retract(frames[1]).what == outcome::not_now);
    CHECK(f.revise(frames[2], 7).what == outcome::not_now);
    CHECK(f.put(frames[0]).what == outcome::not_now); // nobody can tell whether it is the same
    CHECK(f.not_now(how == fault::unreadable ? hindrance::store : hindrance::memory) == 3);
    CHECK(f.s->status().field.hash == before.field.hash);
    CHECK(f.numbers().refused == 0);
    f.disk->reading = fault::none;
    CHECK(f.retract(frames[1]).what == outcome::accepted);
    CHECK(f.put(frames[0]).what == outcome::duplicate);
    CHECK(f.s->status().field.hash == truth(small_map(), {frames[0], frames[2]}));
  }
}

TEST_CASE("a device without memory is no reason to refuse") {
  std::exception_ptr thrown;
  faulty_service f;
  f.by->before = [&](const keyframe_body*, const std::vector<ray>&) {
    if (thrown)
      std::rethrow_exception(thrown);
  };
  const auto frames = random_frames(23, 1);
  thrown = std::make_exception_ptr(std::bad_alloc{});
  CHECK(f.put(frames[0]).what == outcome::not_now);
  CHECK(f.not_now(hindrance::memory) == 1);
  CHECK(f.not_now(hindrance::room) == 0);
  REQUIRE(f.numbers().shortage.current());
  CHECK_THAT(f.numbers().shortage.current()->text, Catch::Contains("the process gets no more memory"));
  thrown = std::make_exception_ptr(no_room{"the map's memory has reached its cap"});
  CHECK(f.put(frames[0]).what == outcome::not_now);
  CHECK(f.not_now(hindrance::room) == 1);
  CHECK_THAT(f.numbers().shortage.current()->text, Catch::Contains("the map is full"));
  CHECK(f.numbers().refused == 0);
  CHECK(f.numbers().set_aside.total() == 0);
  thrown = nullptr;
  CHECK(f.put(frames[0]).what == outcome::accepted);
  CHECK(f.s->status().field.hash == truth(small_map(), frames));
}

TEST_CASE("a keyframe over which a device failed goes to its successor, and is refused after the second") {
  for (const int deaths : {1, 2}) {
    INFO(deaths << " devices fail");
    auto by = std::make_shared<control>();
    stepped_service s{config_for(by), by};
    const auto frames = random_frames(24, 3);
    s.put(frames[2]);
    s.run();
    int left = deaths;
    by->before = [&](const keyframe_body* body, const std::vector<ray>&) {
      if (body == frames[0].body.get() && left > 0 && left-- > 0)
        throw std::runtime_error("it divides by zero");
    };
    auto v = s.put(frames[0]);
    s.run();
    REQUIRE(v->has_value());
    CHECK((*v)->what == (deaths == 2 ? outcome::refused : outcome::accepted));
    const auto& n = *s.running.context.numbers;
    CHECK(n.refused_by[static_cast<size_t>(refusal::internal)] == (deaths == 2 ? 1 : 0));
    CHECK(n.set_aside.total() == (deaths == 2 ? 1 : 0));
    CHECK(n.lost_core == 0);
    auto next = s.put(frames[1]);
    s.run();
    CHECK((*next)->what == outcome::accepted);
    auto live = frames;
    if (deaths == 2)
      live.erase(live.begin());
    CHECK(s.status().field.hash == truth(small_map(), live));
  }
}

TEST_CASE("a device that lost its fields for want of memory does not count against the keyframe") {
  auto by = std::make_shared<control>();
  stepped_service s{config_for(by), by};
  const auto frames = random_frames(26, 2);
  s.put(frames[1]);
  s.run();
  int left = 3;
  by->before = [&](const keyframe_body* body, const std::vector<ray>&) {
    if (body == frames[0].body.get() && left > 0 && left-- > 0)
      throw fields_lost("there is no memory to take it back");
  };
  auto v = s.put(frames[0]);
  s.run();
  REQUIRE(v->has_value());
  CHECK((*v)->what == outcome::accepted);
  const auto& n = *s.running.context.numbers;
  CHECK(n.refused == 0);
  CHECK(n.lost_core == 0);
  CHECK(s.status().field.hash == truth(small_map(), frames));
}

TEST_CASE("whoever does not answer in time is slow, which is no fault of the keyframe") {
  const auto gpus = toy_gpus(1);
  auto by = std::make_shared<control>();
  stepped_service s{config_on(gpus, by), by};
  const auto frames = random_frames(25, 2);
  s.put(frames[0]);
  s.run();
  gpus[0]->holds = true; // as if the process had been stopped
  auto v = s.put(frames[1]);
  s.run();
  CHECK_FALSE(*v);
  s.tick(std::chrono::seconds{121});
  REQUIRE(v->has_value());
  CHECK((*v)->what == outcome::not_now);
  const auto& n = *s.running.context.numbers;
  CHECK(n.not_now_by[static_cast<size_t>(hindrance::slow)] > 0);
  CHECK(n.refused == 0);
  CHECK(n.set_aside.total() == 0);
  gpus[0]->holds = false;
  gpus[0]->release();
  s.run();
  auto again = s.put(frames[1]);
  s.run();
  REQUIRE(again->has_value());
  CHECK(((*again)->what == outcome::accepted || (*again)->what == outcome::duplicate));
  CHECK(s.status().field.hash == truth(small_map(), frames));
}

TEST_CASE("a region that is refilled waits for what cannot be read now, and lacks nothing afterwards") {
  for (const auto how : {fault::unreadable, fault::no_memory}) {
    faulty_service f;
    const auto frames = random_frames(26, 6);
    for (const auto& frame : frames)
      f.put(frame);
    f.disk->reading = how;
    f.s->kill("device");
    f.s->run();
    for (int i = 0; i < 8; ++i)
      f.s->tick(std::chrono::milliseconds{250});
    f.disk->reading = fault::none;
    CHECK(f.s->status().field.hash == truth(small_map(), frames));
  }
}

TEST_CASE("a partitioner's successor that has no memory for a while loses no keyframe") {
  faulty_service f;
  const auto frames = random_frames(27, 9);
  for (const auto& frame : frames)
    f.put(frame);
  f.disk->reading = fault::no_memory;
  f.s->kill("partitioner");
  f.s->run();
  for (int i = 0; i < 8; ++i)
    f.s->tick(std::chrono::milliseconds{250});
  f.disk->reading = fault::none;
  for (int i = 0; i < 8; ++i)
    f.s->tick(std::chrono::milliseconds{250});
  CHECK(f.s->status().keyframes == frames.size());
  CHECK(f.s->status().field.hash == truth(small_map(), frames));
}

TEST_CASE("a shortage is over when a keyframe is accepted, or when none met it for a while") {
  using clock = shortage_board::clock;
  shortage_board board;
  std::vector<std::string> log;
  board.tell_to([&](severity, const std::string& text) { log.push_back(text); });
  const auto begin = clock::now();
  CHECK_FALSE(board.current(begin));
  board.note(hindrance::store, "the disk is full", begin);
  board.note(hindrance::store, "the disk is still full", begin + std::chrono::seconds{20});
  auto now = board.current(begin + std::chrono::seconds{45});
  REQUIRE(now);
  CHECK(now->text == "the disk is still full");
  CHECK(now->since == begin);
  CHECK_FALSE(board.current(begin + std::chrono::seconds{51}));
  board.note(hindrance::room, "the map is full", begin + std::chrono::seconds{60});
  CHECK(board.current(begin + std::chrono::seconds{60})->since == begin + std::chrono::seconds{60});
  board.note(hindrance::memory, "no memory", begin + std::chrono::seconds{80});
  CHECK(board.current(begin + std::chrono::seconds{80})->text == "no memory; the map is full"); // both are
  CHECK(board.current(begin + std::chrono::seconds{80})->since == begin + std::chrono::seconds{60});
  CHECK(board.current(begin + std::chrono::seconds{100})->text == "no memory");
  board.clear();
  CHECK_FALSE(board.current(begin + std::chrono::seconds{60}));
  board.clear();
  REQUIRE(log.size() == 3);
  CHECK_THAT(log[0], Catch::Contains("the disk is full"));
  CHECK_THAT(log[1], Catch::Contains("the map is full"));
  CHECK_THAT(log[2], Catch::Contains("taken again"));
}
