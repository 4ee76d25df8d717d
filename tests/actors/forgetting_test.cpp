// The oldest keyframes beyond what is kept go by themselves: exactly, whoever dies meanwhile, and from the store, too.

#include "actors/store/spilling_store.hpp"
#include "faulty_disk.hpp"
#include "holding_store.hpp"
#include "journal_folder.hpp"
#include "messages/clock.hpp"
#include "wanted_map.hpp"
#include "watched_service.hpp"

#include <catch2/catch.hpp>

#include <future>
#include <set>
#include <thread>

using namespace tessera;
using namespace tessera::toy;
using namespace std::chrono_literals;

namespace {

std::shared_ptr<keyframe_store> store_in_memory() {
  return std::make_shared<spilling_store>(spilling_options{.cap_bytes = uint64_t{1} << 30, .folder = {}, .own_thread = false});
}

service_config keeping(const std::shared_ptr<control>& by, const retention_limits& limits,
                       const std::shared_ptr<keyframe_store>& store) {
  auto out = config_for(by);
  out.retain = limits;
  out.make_store = [store] { return store; };
  return out;
}

std::string hash_of(const std::vector<keyframe>& frames) {
  return to_hex(truth(small_map(), frames));
}

std::vector<keyframe> last(const std::vector<keyframe>& frames, size_t count) {
  return {frames.end() - static_cast<std::ptrdiff_t>(std::min(count, frames.size())), frames.end()};
}

/// Those of the frames that are live, as cameras tell.
std::vector<keyframe> shown_frames(stepped_service& s, const std::vector<keyframe>& frames) {
  auto cameras = s.ask<std::vector<camera>>(s.running.broadcaster.get(), camera_atom::value);
  s.run();
  std::vector<keyframe> out;
  for (const auto& frame : frames)
    if (std::any_of((*cameras)->begin(), (*cameras)->end(), [&](const camera& c) { return c.id == frame.id; }))
      out.push_back(frame);
  return out;
}

outcome told(stepped_service& s, const map_input& what) {
  const auto v = s.put(what);
  s.run();
  REQUIRE(v->has_value());
  return (*v)->what;
}

} // namespace

TEST_CASE("of more keyframes than are kept the oldest go, and the map is that of those that are left") {
  const auto frames = random_frames(50, 12);
  auto by = std::make_shared<control>();
  const auto store = store_in_memory();
  stepped_service s{keeping(by, {.keyframes = 5}, store), by};
  for (size_t i = 0; i < frames.size(); ++i) {
    CHECK(told(s, frames[i]) == outcome::accepted);
    const std::vector<keyframe> came{frames.begin(), frames.begin() + static_cast<std::ptrdiff_t>(i) + 1};
    CHECK(to_hex(s.status().field.hash) == hash_of(last(came, 5)));
  }
  const auto& n = *s.running.context.numbers;
  CHECK(s.status().keyframes == 5);
  CHECK(store->usage().keyframes == 5);
  CHECK(n.live_keyframes == 5);
  CHECK(n.forgotten == 7);
  CHECK(n.retracted == 0);
  CHECK(n.unknown == 0);
  CHECK(shown(s) == wanted(s));
  CHECK(told(s, retraction{frames[0].id}) == outcome::unknown);
  CHECK(told(s, frames[0]) == outcome::accepted); // it is a new one
  CHECK(to_hex(s.status().field.hash) == hash_of({frames[8], frames[9], frames[10], frames[11], frames[0]}));
}

TEST_CASE("regions that only forgotten keyframes were in disappear from viewers") {
  std::mt19937 random{51};
  std::vector<keyframe> frames;
  for (int i = 0; i < 8; ++i) {
    frames.push_back(random_frame(random, std::to_string(i)));
    auto body = std::make_shared<owned_keyframe_body>(dynamic_cast<const owned_keyframe_body&>(*frames.back().body));
    for (size_t k = 0; k < body->point_data.size(); k += 3)
      body->point_data[k] += static_cast<float>(200 * i); // each where no other is
    frames.back().world_from_camera.m[3] += static_cast<float>(200 * i);
    frames.back().body = std::move(body);
  }
  auto by = std::make_shared<control>();
  stepped_service s{keeping(by, {.keyframes = 2}, store_in_memory()), by};
  for (const auto& frame : frames)
    CHECK(told(s, frame) == outcome::accepted);
  const auto regions_of = [](stepped_service& of) {
    auto listed = of.ask<std::vector<region_status>>(of.running.partitioner.get(), list_atom::value);
    of.run();
    std::set<region_key> out;
    for (const auto& one : **listed)
      out.insert(one.region);
    return out;
  };
  CHECK(regions_of(s).size() > 200);
  s.tick(6s);
  const auto other = std::make_shared<control>();
  stepped_service fresh{config_for(other), other};
  fresh.put(frames[6]);
  fresh.put(frames[7]);
  fresh.run();
  CHECK(regions_of(s) == regions_of(fresh));
  CHECK(s.status().field == fresh.status().field);
  CHECK(shown(s) == wanted(s));
}

TEST_CASE("what is older than is kept goes when its time has come, without anything that comes") {
  const auto frames = random_frames(52, 6);
  auto by = std::make_shared<control>();
  stepped_service s{keeping(by, {.age = 60s}, store_in_memory()), by};
  for (const auto& frame : frames) {
    CHECK(told(s, frame) == outcome::accepted);
    s.tick(10s);
  }
  // They came 60, 50, ... and 10 s ago.
  CHECK(s.status().keyframes == 6);
  s.tick(1ms);
  CHECK(s.status().keyframes == 5);
  s.tick(9s);
  CHECK(s.status().keyframes == 5);
  s.tick(21s);
  CHECK(to_hex(s.status().field.hash) == hash_of(last(frames, 2)));
  s.tick(1h);
  CHECK(s.status().keyframes == 0);
  CHECK(s.status().field.hash == map_hash{});
  CHECK(s.running.context.numbers->forgotten == 6);
}

TEST_CASE("of more rays than are kept the oldest go") {
  const auto frames = random_frames(53, 10);
  auto by = std::make_shared<control>();
  const auto store = store_in_memory();
  stepped_service s{keeping(by, {.ray_bytes = 100 * sizeof(ray)}, store), by};
  for (const auto& frame : frames) {
    CHECK(told(s, frame) == outcome::accepted);
    CHECK(store->usage().rays <= 100);
  }
  const auto left = s.status().keyframes;
  CHECK(left >= 2);
  CHECK(left < frames.size());
  CHECK(to_hex(s.status().field.hash) == hash_of(last(frames, left)));
}

TEST_CASE("in whatever order things happen, and whoever dies, so many are left, and the map is theirs") {
  const std::vector<std::string> roles{"ingest", "partitioner", "broadcaster", "placement", "device"};
  for (unsigned seed = 0; seed < 40; ++seed) {
    INFO("seed " << seed);
    auto by = std::make_shared<control>();
    const auto store = store_in_memory();
    stepped_service s{keeping(by, {.keyframes = 5}, store), by};
    auto sink = make_ingest_sink(s.system, s.running, 1000);
    s.run();
    std::mt19937 random{seed};
    const auto frames = random_frames(500 + seed, 24);
    auto poses = std::map<keyframe_id, pose>{};
    size_t answers = 0;
    const auto note = [&](const verdict&) { ++answers; };
    size_t asked = 0;
    for (size_t i = 0; i < frames.size(); ++i) {
      sink->offer(frames[i], note), ++asked;
      if (random() % 4 == 0)
        sink->offer(retraction{frames[random() % (i + 1)].id}, note), ++asked;
      if (random() % 4 == 0)
        sink->offer(frames[random() % (i + 1)], note), ++asked;
      s.run_some(random, random() % 40);
      if (seed % 2 == 1 && random() % 6 == 0)
        s.kill(roles[random() % roles.size()]);
    }
    sink->offer(keyframe{frames[0]}, note), ++asked; // at least one comes when the others are done
    s.run();
    for (int i = 0; i < 40; ++i)
      s.tick(250ms);
    CHECK(answers == asked);
    const auto live = shown_frames(s, frames);
    CHECK(live.size() <= 5);
    CHECK(live.size() >= 1);
    CHECK(s.status().keyframes == live.size());
    CHECK(store->usage().keyframes == live.size());
    CHECK(to_hex(s.status().field.hash) == hash_of(live));
    CHECK(s.running.context.numbers->lost_core == 0);
    CHECK(s.running.context.numbers->handler_errors == 0);
    sink->close();
    sink.reset();
    s.run();
  }
}

TEST_CASE("what somebody takes out counts no more, and what comes anew under its id is not taken for it") {
  const auto frames = random_frames(59, 8);
  const auto anew = random_frames(60, 1)[0]; // the id of the first, and other content
  for (unsigned seed = 0; seed < 30; ++seed) {
    INFO("seed " << seed);
    auto by = std::make_shared<control>();
    auto config = keeping(by, {.keyframes = 5}, store_in_memory());
    config.credit = 64;
    stepped_service s{config, by};
    for (size_t i = 0; i < 5; ++i)
      CHECK(told(s, frames[i]) == outcome::accepted);
    CHECK(told(s, retraction{frames[4].id}) == outcome::accepted);
    CHECK(told(s, frames[5]) == outcome::accepted);
    CHECK(to_hex(s.status().field.hash) == hash_of({frames[0], frames[1], frames[2], frames[3], frames[5]}));
    std::mt19937 random{seed};
    s.put(retraction{frames[0].id});
    s.put(anew);
    s.run_some(random, random() % 20);
    s.put(frames[6]);
    s.run_some(random, random() % 60);
    s.run();
    // The new one was the last to come, or frame 6 was; either way both stay.
    CHECK(to_hex(s.status().field.hash) == hash_of({frames[2], frames[3], frames[5], frames[6], anew}));
  }
}

TEST_CASE("what is about to be forgotten, and is taken out and comes anew before its turn, is not forgotten in its stead") {
  const auto frames = random_frames(61, 6);
  const auto anew = random_frames(62, 1)[0]; // the id of the first, and other content
  auto by = std::make_shared<control>();
  const auto store = std::make_shared<holding_store>(store_in_memory());
  auto config = keeping(by, {.keyframes = 5}, store);
  config.credit = 64;
  stepped_service s{config, by};
  for (size_t i = 0; i < 5; ++i)
    CHECK(told(s, frames[i]) == outcome::accepted);
  store->held_gets.insert(frames[0].id);
  const auto gone = s.put(retraction{frames[0].id});
  const auto came = s.put(anew);
  CHECK(told(s, frames[5]) == outcome::accepted); // beyond what is kept: the first is to be forgotten, behind those two
  CHECK_FALSE(gone->has_value());
  store->release();
  s.run();
  CHECK((*gone)->what == outcome::accepted);
  CHECK((*came)->what == outcome::accepted);
  CHECK(to_hex(s.status().field.hash) == hash_of({frames[2], frames[3], frames[4], frames[5], anew}));
  CHECK(store->usage().keyframes == 5);
  CHECK(s.running.context.numbers->forgotten == 1); // the second, when the new one came
}

TEST_CASE("a start on what an earlier process kept keeps to the limits of now, and what is beyond is not even loaded") {
  const auto frames = random_frames(54, 20);
  for (unsigned seed = 0; seed < 10; ++seed) {
    INFO("seed " << seed);
    const auto store = store_in_memory();
    {
      auto by = std::make_shared<control>();
      stepped_service all{keeping(by, {}, store), by};
      for (size_t i = 0; i < 16; ++i)
        all.put(frames[i]);
      all.run();
    }
    REQUIRE(store->usage().keyframes == 16);
    auto by = std::make_shared<control>();
    std::mt19937 random{seed};
    stepped_service s{keeping(by, {.keyframes = 5}, store), by};
    if (seed % 2 == 1) {
      s.put(retraction{frames[13].id});
      s.run_some(random, random() % 100);
      s.put(frames[16]);
    }
    s.run();
    const auto left = s.status();
    const auto live = shown_frames(s, frames);
    CHECK(live.size() == left.keyframes);
    CHECK(left.keyframes <= 5);
    CHECK(left.keyframes >= 4);
    CHECK(store->usage().keyframes == left.keyframes);
    CHECK(to_hex(left.field.hash) == hash_of(live));
    if (seed % 2 == 0) {
      CHECK(to_hex(left.field.hash) == hash_of({frames[11], frames[12], frames[13], frames[14], frames[15]}));
      CHECK(s.running.context.numbers->forgotten == 11);
      CHECK(std::none_of(by->asked.begin(), by->asked.end(), [](const auto& what) { return what.sign < 0; }));
    }
  }
}

TEST_CASE("the age of what an earlier process kept is told by when it was received, a minute after the start") {
  auto frames = random_frames(55, 4);
  const auto store = store_in_memory();
  const auto now = system_ns();
  const auto ago = [&](std::chrono::nanoseconds time) { return now - static_cast<uint64_t>(time.count()); };
  frames[0].received_ns = ago(10h);
  frames[1].received_ns = ago(3h);
  frames[2].received_ns = ago(30min);
  frames[3].received_ns = ago(-10h);
  {
    auto by = std::make_shared<control>();
    stepped_service all{keeping(by, {}, store), by};
    for (const auto& frame : frames)
      all.put(frame);
    all.run();
  }
  auto by = std::make_shared<control>();
  stepped_service s{keeping(by, {.age = 1h}, store), by};
  CHECK(s.status().keyframes == 4);
  s.tick(59s);
  CHECK(s.status().keyframes == 4);
  s.tick(2s);
  CHECK(to_hex(s.status().field.hash) == hash_of(last(frames, 2)));
  CHECK(store->usage().keyframes == 2);
  s.tick(1h);
  CHECK(s.status().keyframes == 0);
}

TEST_CASE("what cannot be forgotten while the disk fails is forgotten afterwards") {
  auto by = std::make_shared<control>();
  auto disk = std::make_shared<faulty_disk>();
  auto config = config_for(by);
  config.retain = {.keyframes = 3};
  config.make_store = [disk] { return disk->make_store(0, false); };
  stepped_service s{config, by};
  const auto frames = random_frames(56, 8);
  for (size_t i = 0; i < 3; ++i)
    s.put(frames[i]);
  s.run();
  disk->reading = faulty_disk::fault::unreadable;
  for (size_t i = 3; i < frames.size(); ++i)
    s.put(frames[i]);
  s.run();
  s.tick(1s);
  CHECK(s.running.context.numbers->forgotten == 0);
  CHECK(s.running.context.numbers->live_keyframes == 8); // it is over what is kept, and nothing else is wrong
  disk->reading = faulty_disk::fault::none;
  s.tick(1s);
  CHECK(to_hex(s.status().field.hash) == hash_of(last(frames, 3)));
  CHECK(s.running.context.numbers->forgotten == 5);
}

TEST_CASE("what was forgotten takes no space in the journal for long, and is not there at the next start") {
  const temporary_folder folder;
  const auto frames = [] {
    std::mt19937 random{57};
    std::vector<keyframe> out;
    for (int i = 0; i < 60; ++i)
      out.push_back(random_frame(random, std::to_string(i)));
    return out;
  }();
  // 60 keyframes of 100,000 rays of noise, which no compression makes small, of which 4 are kept.
  std::mt19937 random{58};
  uint64_t most = 0;
  {
    const auto store = open_store(folder / "journal");
    retention kept{{.keyframes = 4}, {}};
    for (const auto& frame : frames) {
      std::vector<ray> rays(100'000);
      for (auto& one : rays)
        one = {static_cast<int32_t>(random()), static_cast<int32_t>(random()), static_cast<int32_t>(random()), 1, 2, 3, 4};
      stored_keyframe stored{frame.id, 1, 1, {}, {std::make_shared<const std::vector<ray>>(std::move(rays))}, {}, "shm", ""};
      std::promise<void> done;
      store->put(std::move(stored), [&](bool, const std::exception_ptr&) { done.set_value(); });
      done.get_future().wait();
      kept.enter(frame.id, 100'000, {});
      while (const auto id = kept.due({})) {
        std::promise<void> gone;
        store->erase(*id, [&](bool, const std::exception_ptr&) { gone.set_value(); });
        gone.get_future().wait();
        kept.erase(*id);
      }
    }
    for (int i = 0; i < 600; ++i) { // it is tidied in a thread
      most = store->usage().disk_bytes;
      if (most < uint64_t{48} << 20)
        break;
      std::this_thread::sleep_for(50ms);
    }
    CHECK(most < uint64_t{48} << 20); // of 72 MiB, and more
    store->stop();
  }
  CHECK(open_store(folder / "journal")->usage().keyframes == 4);
}
