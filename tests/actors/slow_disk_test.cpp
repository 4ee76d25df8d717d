// A service whose keyframe store waits for a disk that is stuck: the map goes on, and whoever dies meanwhile leaves no trace.

#include "faulty_disk.hpp"
#include "wanted_map.hpp"
#include "watched_service.hpp"

#include <catch2/catch.hpp>

#include <deque>
#include <mutex>
#include <set>
#include <thread>

using namespace tessera;
using namespace tessera::toy;

namespace {

constexpr uint64_t size_of_one = 40 * sizeof(ray); // of random_frames

/// Counts the reads that are under way, and has the test give the answers of the store's thread: a test scheduler is not for
/// other threads.
class stepped_store final : public keyframe_store {
public:
  explicit stepped_store(std::shared_ptr<keyframe_store> its) : its_{std::move(its)} {}
  int now = 0, most = 0;

  /// Gives the answers that have come; answers whether there were any.
  bool release() {
    std::unique_lock lock{mutex_};
    const auto any = !held_.empty();
    while (!held_.empty()) {
      const auto answer = std::move(held_.front());
      held_.pop_front();
      lock.unlock();
      answer();
      lock.lock();
    }
    return any;
  }

  void put(stored_keyframe frame, done answer) override { its_->put(std::move(frame), later(std::move(answer))); }
  void get(const keyframe_id& id, got answer) override {
    most = std::max(most, ++now);
    its_->get(id, later(got{[this, answer](std::optional<stored_keyframe> frame, std::exception_ptr failure) {
                --now;
                answer(std::move(frame), std::move(failure));
              }}));
  }
  void erase(const keyframe_id& id, done answer) override { its_->erase(id, later(std::move(answer))); }
  void set_place(const keyframe_id& id, const keyframe_place& to, done answer) override {
    its_->set_place(id, to, later(std::move(answer)));
  }
  void remember(const retraction& what, done answer) override { its_->remember(what, later(std::move(answer))); }
  void forget_retraction(const keyframe_id& id, done answer) override { its_->forget_retraction(id, later(std::move(answer))); }
  [[nodiscard]] std::optional<retraction> retracted(const keyframe_id& id) const override { return its_->retracted(id); }
  [[nodiscard]] std::vector<retraction> retractions() const override { return its_->retractions(); }
  void quarantine(quarantined_keyframe what, done answer) override {
    its_->quarantine(std::move(what), later(std::move(answer)));
  }
  void release(const keyframe_id& id, done answer) override { its_->release(id, later(std::move(answer))); }
  [[nodiscard]] std::vector<quarantined_keyframe> quarantined() const override { return its_->quarantined(); }
  [[nodiscard]] std::map<std::string, uint64_t> group_revisions() const override { return its_->group_revisions(); }
  [[nodiscard]] std::vector<std::pair<keyframe_id, std::array<float, 3>>> cameras() const override { return its_->cameras(); }
  [[nodiscard]] std::vector<keyframe_id> ids() const override { return its_->ids(); }
  [[nodiscard]] store_usage usage() const override { return its_->usage(); }
  void stop() override { its_->stop(); }

private:
  template <class Result>
  std::function<void(Result, std::exception_ptr)> later(std::function<void(Result, std::exception_ptr)> answer) {
    return [this, answer = std::move(answer)](Result result, std::exception_ptr failure) {
      std::unique_lock lock{mutex_};
      if (std::this_thread::get_id() == test_ && held_.empty()) {
        lock.unlock();
        answer(std::move(result), std::move(failure));
      } else {
        held_.push_back([answer, result, failure] { answer(result, failure); });
      }
    };
  }

  const std::thread::id test_ = std::this_thread::get_id();
  std::mutex mutex_;
  std::deque<std::function<void()>> held_;
  std::shared_ptr<keyframe_store> its_; // whose thread ends first
};

/// Every step is the test's, but for those of the store's own thread, which takes none of an actor.
struct slow_service {
  explicit slow_service(uint64_t cap_bytes) {
    auto config = config_for(by);
    config.make_store = [this, cap_bytes] { return store = std::make_shared<stepped_store>(disk->make_store(cap_bytes, true)); };
    s = std::make_unique<stepped_service>(config, by);
  }
  ~slow_service() { disk->open(); }

  /// Lets all go on until something is so.
  template <class F>
  void until(F is_so) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{60};
    for (s->run(); !is_so(); s->tick(std::chrono::milliseconds{20})) {
      if (store->release())
        continue;
      if (std::chrono::steady_clock::now() > end)
        FAIL("it never came");
      std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
  }
  template <class R>
  R answer(const std::shared_ptr<std::optional<R>>& to) {
    until([&] { return to->has_value(); });
    return **to;
  }
  auto retract(const keyframe& frame) { return s->put(retraction{frame.id}); }
  auto revise(const keyframe& frame) {
    auto to = frame.world_from_camera;
    to.m[3] += 3;
    return s->put(revision{frame.id, to});
  }
  auto ask_status() { return s->ask<map_status>(s->running.partitioner.get(), status_atom::value); }
  /// Once it is whole: not while a partitioner's successor refuses.
  map_status status() {
    std::shared_ptr<std::optional<map_status>> now;
    int rounds = 0;
    until([&] {
      if (!now || (!now->has_value() && ++rounds % 64 == 0))
        now = ask_status();
      return now->has_value();
    });
    return **now;
  }

  std::shared_ptr<faulty_disk> disk = std::make_shared<faulty_disk>();
  std::shared_ptr<stepped_store> store;
  std::shared_ptr<control> by = std::make_shared<control>();
  std::unique_ptr<stepped_service> s;
};

std::vector<keyframe> without(std::vector<keyframe> frames, size_t one) {
  frames.erase(frames.begin() + static_cast<std::ptrdiff_t>(one));
  return frames;
}

} // namespace

TEST_CASE("a disk that is stuck holds up what needs it, and nothing else") {
  slow_service f{3 * size_of_one};
  auto& s = *f.s;
  const auto frames = random_frames(60, 5);
  for (size_t i = 0; i < 3; ++i)
    CHECK(f.answer(s.put(frames[i])).what == outcome::accepted);
  f.disk->close();
  auto earlier = f.ask_status();
  auto fourth = s.put(frames[3]); // of which the first must go to the file
  s.run();
  f.disk->wait_until_stuck();
  REQUIRE(earlier->has_value());
  CHECK_FALSE(fourth->has_value()); // accepted is what is stored
  auto fifth = s.put(frames[4]);
  auto gone = f.retract(frames[1]); // which is in memory
  auto moved = f.revise(frames[2]);
  auto again = s.put(frames[2]);
  auto later = f.ask_status();
  s.run();
  CHECK(f.by->keyframes == 6); // taken by the device; of the repetition rays were made
  REQUIRE(gone->has_value());
  CHECK((*gone)->what == outcome::accepted);
  REQUIRE(moved->has_value());
  CHECK((*moved)->what == outcome::accepted);
  REQUIRE(again->has_value());
  CHECK((*again)->what == outcome::duplicate);
  CHECK_FALSE(later->has_value()); // a sum is of all that came before
  f.disk->open();
  CHECK(f.answer(fourth).what == outcome::accepted);
  CHECK(f.answer(fifth).what == outcome::accepted);
  auto left = without(frames, 1);
  left[1].world_from_camera.m[3] += 3;
  CHECK(f.answer(later).keyframes == 4);
  CHECK(f.answer(f.retract(frames[2])).what == outcome::accepted);
  left.erase(left.begin() + 1);
  CHECK(to_hex(f.status().field.hash) == to_hex(truth(small_map(), left)));
  CHECK(shown(s) == wanted(s));
}

TEST_CASE("a keyframe that cannot be stored, which is known late, is taken out again") {
  slow_service f{0};
  auto& s = *f.s;
  const auto frames = random_frames(61, 4);
  for (size_t i = 0; i < 3; ++i)
    CHECK(f.answer(s.put(frames[i])).what == outcome::accepted);
  f.disk->close();
  auto bad = s.put(frames[3]);
  s.run();
  f.disk->wait_until_stuck();
  auto gone = f.retract(frames[3]); // waits for what becomes of it
  SECTION("whatever else happens") {}
  SECTION("also if a broadcaster came meanwhile") {
    s.kill("broadcaster");
  }
  SECTION("also if a device came meanwhile") {
    s.kill("device");
  }
  s.run();
  CHECK_FALSE(bad->has_value());
  f.disk->writing = faulty_disk::fault::full;
  f.disk->open();
  const auto v = f.answer(bad);
  CHECK(v.what == outcome::not_now);
  CHECK_THAT(v.reason, Catch::Contains("could not be stored") && Catch::Contains("No space left"));
  CHECK(f.answer(gone).what == outcome::unknown);
  auto left = frames;
  left.pop_back();
  CHECK(f.status().keyframes == 3);
  CHECK(f.status().field.hash == truth(small_map(), left));
  CHECK(shown(s) == wanted(s));
  auto cameras = s.ask<std::vector<camera>>(s.running.broadcaster.get(), camera_atom::value);
  s.run();
  CHECK(cameras->value().size() == 3);
  f.disk->writing = faulty_disk::fault::none;
  CHECK(f.answer(s.put(frames[3])).what == outcome::retracted); // it was never in the map, and is late now
  auto other = frames[3];
  other.id.value = "sent anew";
  CHECK(f.answer(s.put(other)).what == outcome::accepted);
  CHECK(f.status().field.hash == truth(small_map(), frames));
}

TEST_CASE("a partitioner that dies while the store is at work has a successor that knows what came of it") {
  slow_service f{0};
  auto& s = *f.s;
  offered in{s};
  const auto frames = random_frames(62, 13);
  for (size_t i = 0; i < 12; ++i)
    in.put(frames[i]);
  f.until([&] { return in.answered() == in.asked; });
  f.disk->close();
  auto left = frames;
  SECTION("storing a keyframe") {
    in.put(frames[12]);
  }
  SECTION("storing one that cannot be stored") {
    in.put(frames[12]);
    left.pop_back();
    f.disk->writing = faulty_disk::fault::full;
  }
  SECTION("reading one that is to go") {
    in.put(frames[12]);
    in.retract(frames[4]);
    left = without(frames, 4);
  }
  SECTION("taking one out and in again") {
    in.retract(frames[4]);
    in.put(frames[4]);
    in.put(frames[12]);
  }
  SECTION("reading what a device lacks") {
    s.kill("device");
    s.run();
    in.put(frames[12]);
  }
  s.run();
  f.disk->wait_until_stuck();
  CHECK(in.answered() < in.asked);
  s.kill("partitioner");
  s.run();
  f.disk->open();
  f.until([&] { return in.answered() == in.asked; });
  const auto status = f.status();
  CHECK(status.keyframes == left.size());
  CHECK(to_hex(status.field.hash) == to_hex(truth(small_map(), left)));
  CHECK(shown(s) == wanted(s));
  CHECK(in.verdicts[outcome::refused] == 0);
  CHECK(in.verdicts[outcome::conflict] == 0);
  CHECK(in.verdicts[outcome::not_now] == (left.size() == 12 && f.disk->writing != faulty_disk::fault::none ? 1 : 0));
  f.disk->writing = faulty_disk::fault::none;
  // And once more, from the store alone.
  s.kill("partitioner");
  CHECK(to_hex(f.status().field.hash) == to_hex(truth(small_map(), left)));
  end(s, in);
}

TEST_CASE("a disk that cannot be read costs a partitioner's successor nothing, however long that is") {
  slow_service f{0};
  auto& s = *f.s;
  const auto frames = random_frames(64, 6);
  for (const auto& frame : frames)
    CHECK(f.answer(s.put(frame)).what == outcome::accepted);
  f.disk->reading = faulty_disk::fault::unreadable;
  const auto before = f.disk->reads.load();
  s.kill("partitioner");
  f.until([&] { return f.disk->reads >= before + 40 * frames.size(); });
  f.disk->reading = faulty_disk::fault::none;
  const auto status = f.status();
  CHECK(status.keyframes == frames.size());
  CHECK(to_hex(status.field.hash) == to_hex(truth(small_map(), frames)));
}

TEST_CASE("keyframes whose records are damaged are lost, whoever finds it, and can be sent again") {
  for (const std::string who : {"a successor", "a device", "a retraction"}) {
    INFO(who);
    slow_service f{2 * size_of_one}; // the last two are in memory
    auto& s = *f.s;
    const auto frames = random_frames(65, 6);
    for (const auto& frame : frames)
      CHECK(f.answer(s.put(frame)).what == outcome::accepted);
    f.disk->reading = faulty_disk::fault::damaged;
    if (who == "a successor")
      s.kill("partitioner");
    else if (who == "a device")
      s.kill("device");
    else
      CHECK(f.answer(f.retract(frames[0])).what == outcome::accepted); // the map was made again without it
    f.until([&] { return f.store->ids().size() == 2; });
    const std::vector<keyframe> left{frames[4], frames[5]};
    auto status = f.status();
    CHECK(status.keyframes == 2);
    CHECK(to_hex(status.field.hash) == to_hex(truth(small_map(), left)));
    f.disk->reading = faulty_disk::fault::none;
    for (size_t i = 0; i < 4; ++i)
      CHECK(f.answer(s.put(frames[i])).what == outcome::accepted);
    CHECK(to_hex(f.status().field.hash) == to_hex(truth(small_map(), frames)));
    CHECK(shown(s) == wanted(s));
  }
}

TEST_CASE("what is filled again from a slow disk is read a few keyframes at a time, and what is in memory goes on") {
  for (const std::string role : {"device", "partitioner"}) {
    INFO(role);
    slow_service f{2 * size_of_one};
    auto& s = *f.s;
    const auto frames = random_frames(63, 40);
    for (const auto& frame : frames)
      CHECK(f.answer(s.put(frame)).what == outcome::accepted);
    f.disk->close();
    f.store->most = 0;
    s.kill(role);
    s.run();
    f.disk->wait_until_stuck();
    CHECK(f.store->now == 8);
    if (role == "device") {
      auto gone = f.retract(frames[39]); // which is in memory
      s.run();
      REQUIRE(gone->has_value());
      CHECK((*gone)->what == outcome::accepted);
    }
    auto other = f.retract(frames[0]); // which is not, and is being read
    s.run();
    CHECK_FALSE(other->has_value());
    f.disk->open();
    CHECK(f.answer(other).what == outcome::accepted);
    auto left = without(frames, 0);
    if (role == "device")
      left.pop_back();
    CHECK(to_hex(f.status().field.hash) == to_hex(truth(small_map(), left)));
    CHECK(f.store->most <= 9); // eight, and the retraction's
    CHECK(shown(s) == wanted(s));
  }
}

TEST_CASE("core actors that are killed at random over a disk that is slow at random leave no trace") {
  for (unsigned seed = 0; seed < 8; ++seed) {
    INFO("seed " << seed);
    slow_service f{4 * size_of_one};
    auto& s = *f.s;
    offered in{s};
    std::mt19937 random{seed};
    const auto frames = random_frames(300 + seed, 20);
    std::set<size_t> live;
    for (size_t i = 0; i < frames.size(); ++i) {
      random() % 2 == 0 ? f.disk->close() : f.disk->open();
      in.put(frames[i]);
      live.insert(i);
      s.run_some(random, random() % 150);
      f.store->release();
      if (i % 3 == 2) {
        const auto victim = random() % (i + 1);
        in.retract(frames[victim]);
        live.erase(victim);
      }
      if (random() % 2 == 0)
        s.kill(core_roles[random() % core_roles.size()]);
      s.run_some(random, random() % 60);
    }
    f.disk->open();
    f.until([&] { return in.answered() == in.asked; });
    for (const auto wrong : {outcome::refused, outcome::not_now, outcome::conflict})
      CHECK(in.verdicts[wrong] == 0);
    std::vector<keyframe> left;
    for (auto i : live)
      left.push_back(frames[i]);
    const auto status = f.status();
    CHECK(status.keyframes == left.size());
    CHECK(to_hex(status.field.hash) == to_hex(truth(small_map(), left)));
    CHECK(shown(s) == wanted(s));
    CHECK(s.running.context.numbers->lost_core == 0);
    end(s, in);
  }
}

TEST_CASE("a service ends while its store waits for the disk, and the store when that is done") {
  const auto disk = std::make_shared<faulty_disk>();
  auto by = std::make_shared<control>();
  auto config = config_for(by);
  config.own_threads = true;
  std::weak_ptr<keyframe_store> store;
  config.make_store = [&] {
    auto made = disk->make_store(0, true);
    store = made;
    return made;
  };
  threaded_config how;
  caf::actor_system system{how};
  auto running = start_service(system, config);
  auto sink = make_ingest_sink(system, running, 8);
  std::atomic<int> answered{0};
  disk->close();
  for (const auto& frame : random_frames(64, 6))
    sink->offer(frame, [&](const verdict&) { ++answered; });
  disk->wait_until_stuck();
  sink->close();
  const auto actors = running.actors();
  auto ended = std::async(std::launch::async, [&] { return stop_service(system, running); });
  {
    caf::scoped_actor self{system};
    for (const auto& a : actors)
      self->wait_for(a); // none of them waits for the disk
  }
  disk->open();
  CHECK(ended.get());
  sink.reset();
  CHECK(answered == 6);
}
