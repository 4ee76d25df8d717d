// A service that starts on a journal with snapshots of regions: its map is that of the keyframes, whatever became of snapshots.

#include "revised_frame.hpp"
#include "snapshots.hpp"
#include "wanted_map.hpp"
#include "watched_service.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <set>

using namespace tessera;
using namespace tessera::toy;

namespace {

using std::chrono::milliseconds;

/// A journal with snapshots, and services on it one after another.
struct kept {
  temporary_folder folder;
  std::shared_ptr<control> by = std::make_shared<control>();
  std::shared_ptr<region_snapshots> snapshots;
  std::string told;

  std::unique_ptr<stepped_service> start(const std::function<void(service_config&)>& change = {}) {
    snapshots.reset(); // the earlier one's
    snapshots = std::make_shared<region_snapshots>(folder / "snapshots",
                                                   snapshot_options{.most_bytes = uint64_t{1} << 30, .own_thread = false},
                                                   [this](severity, const std::string& text) { told += text + '\n'; });
    auto config = config_for(by);
    config.make_store = [path = folder / "journal"] { return std::make_shared<waiting_store>(open_store(path)); };
    config.snapshots = snapshots;
    if (change)
      change(config);
    by->asked.clear();
    by->added = 0;
    return std::make_unique<stepped_service>(config, by);
  }
  /// Lets time pass until each region has its snapshot.
  void settle(stepped_service& s) const {
    for (int i = 0; i < 300 && snapshots->usage().regions < regions(s).size(); ++i)
      s.tick(milliseconds{1'000});
    CHECK(snapshots->usage().regions == regions(s).size());
  }
  void fill(const std::vector<keyframe>& frames) {
    const auto s = start();
    for (const auto& frame : frames)
      s->put(frame);
    s->run();
    REQUIRE(s->status().keyframes == frames.size());
    settle(*s);
  }
};

std::string hash_of(stepped_service& s) {
  return to_hex(s.status().field.hash);
}

} // namespace

TEST_CASE("a map whose regions all have snapshots is there again without a keyframe being taken") {
  const auto frames = random_frames(1, 12);
  kept k;
  k.fill(frames);
  const auto s = k.start();
  CHECK(hash_of(*s) == to_hex(truth(small_map(), frames)));
  CHECK(k.by->asked.empty());
  CHECK(k.by->added == regions(*s).size());
  CHECK(s->status().keyframes == frames.size());
  CHECK(shown(*s) == wanted(*s));
  // What is in it can go, as ever.
  s->put(retraction{frames[3].id});
  s->run();
  auto left = frames;
  left.erase(left.begin() + 3);
  CHECK(hash_of(*s) == to_hex(truth(small_map(), left)));
}

TEST_CASE("snapshots of the past are filled up, or not used") {
  auto frames = random_frames(2, 14);
  kept k;
  k.fill({frames.begin(), frames.begin() + 10});
  {
    const auto s = k.start([](service_config& c) { c.snapshot_after = std::chrono::hours{1}; });
    for (size_t i = 10; i < frames.size(); ++i) // snapshots lack these
      s->put(frames[i]);
    s->put(retraction{frames[0].id}); // and have this one
    auto to = frames[1].world_from_camera;
    to.m[3] += 2;
    s->put(revision{frames[1].id, to});
    s->run();
    frames[1] = revised(frames[1], to);
    frames.erase(frames.begin());
    CHECK(hash_of(*s) == to_hex(truth(small_map(), frames)));
  }
  const auto s = k.start();
  CHECK(hash_of(*s) == to_hex(truth(small_map(), frames)));
  CHECK(k.by->added > 0);
  CHECK(k.by->added < regions(*s).size());
  CHECK(shown(*s) == wanted(*s));
}

TEST_CASE("a snapshot that is damaged costs its region the keyframes' rays, and nothing else") {
  const auto frames = random_frames(3, 8);
  kept k;
  k.fill(frames);
  const auto files = files_of(k.folder / "snapshots", ".region");
  REQUIRE(files.size() > 3);
  damage(files[0], 5);
  std::filesystem::remove(files[1]);
  const auto s = k.start();
  CHECK(hash_of(*s) == to_hex(truth(small_map(), frames)));
  CHECK(k.by->added == files.size() - 2);
  CHECK(!k.by->asked.empty());
  CHECK(says(k.told, {files[0].c_str(), "is not what was written"}));
  k.settle(*s); // they are taken anew
}

TEST_CASE("whatever comes, moves, goes and dies before and after a start, the map is that of what is live") {
  for (unsigned seed = 0; seed < 60; ++seed) {
    INFO("seed " << seed);
    std::mt19937 random{seed};
    const auto frames = random_frames(seed + 500, 16);
    kept k;
    std::map<size_t, pose> live; // by number
    std::set<size_t> kept_out;
    std::vector<std::shared_ptr<std::optional<verdict>>> verdicts;
    for (int life = 0; life < 4; ++life) {
      const auto s = k.start([&](service_config& c) { c.snapshot_after = milliseconds{random() % 3 * 1'000}; });
      for (size_t round = 0; round < 12; ++round) {
        const size_t i = random() % frames.size();
        switch (random() % 10) {
        case 0:
          verdicts.push_back(s->put(retraction{frames[i].id}));
          if (live.erase(i) == 0)
            kept_out.insert(i);
          break;
        case 1: {
          auto to = frames[i].world_from_camera;
          to.m[3] += static_cast<float>(random() % 5);
          verdicts.push_back(s->put(revision{frames[i].id, to}));
          if (live.contains(i))
            live[i] = to;
          break;
        }
        case 2:
          if (random() % 3 == 0)
            s->kill(random() % 2 == 0 ? "partitioner" : "device");
          break;
        case 3:
        case 4:
          for (int n = 0; n < 5; ++n)
            s->tick(milliseconds{1'000});
          break;
        default:
          verdicts.push_back(s->put(frames[i]));
          if (!kept_out.contains(i))
            live.try_emplace(i, frames[i].world_from_camera);
        }
        s->run_some(random, random() % 40);
      }
      s->run();
      for (int i = 0; i < 400 && !std::all_of(verdicts.begin(), verdicts.end(), [](auto& v) { return v->has_value(); }); ++i)
        s->tick(milliseconds{50});
      for (const auto& v : verdicts)
        CHECK(v->has_value());
      verdicts.clear();
      std::vector<keyframe> left;
      for (const auto& [i, at] : live)
        left.push_back(revised(frames[i], at));
      CHECK(s->status().keyframes == left.size());
      CHECK(hash_of(*s) == to_hex(truth(small_map(), left)));
      CHECK(shown(*s) == wanted(*s));
    }
  }
}

TEST_CASE("what finds no room beside snapshots stays in the journal, and is there when there is room") {
  const auto frames = random_frames(7, 8);
  kept k;
  k.fill(frames);
  k.by->cells_left = 300;
  {
    const auto s = k.start();
    for (int i = 0; i < 400; ++i) // each that finds no room is tried again and again before it is left out
      s->tick(milliseconds{250});
    const auto some = s->status().keyframes;
    CHECK(some < frames.size());
    CHECK(s->running.context.numbers->set_aside.total() == frames.size() - some);
  }
  k.by->cells_left = ~0ull;
  const auto s = k.start();
  CHECK(hash_of(*s) == to_hex(truth(small_map(), frames)));
}

TEST_CASE("keyframes beyond a bound that was set since go unread, and their regions' snapshots with them") {
  const auto frames = random_frames(8, 10);
  kept k;
  k.fill(frames);
  const auto s = k.start([](service_config& c) { c.retain.keyframes = 4; });
  const std::vector<keyframe> newest{frames.end() - 4, frames.end()};
  CHECK(hash_of(*s) == to_hex(truth(small_map(), newest)));
  CHECK(s->status().keyframes == 4);
  CHECK(std::none_of(k.by->asked.begin(), k.by->asked.end(), [](const take_request& one) { return one.sign < 0; }));
}

TEST_CASE("a journal of a program that did not know regions has snapshots from its first start on") {
  const auto frames = random_frames(9, 6);
  kept k;
  {
    const auto s = k.start();
    for (const auto& frame : frames)
      s->put(frame);
    s->run();
  }
  {
    journal file{k.folder / "journal", journal_memory, journal::access::change};
    journal::batch none;
    for (const auto& [number, its] : file.keyframes())
      none.moves.emplace_back(number, keyframe_place{its.frame.world_from_camera, {}, {}});
    file.write(none);
  }
  {
    const auto s = k.start();
    CHECK(hash_of(*s) == to_hex(truth(small_map(), frames)));
    CHECK(k.by->asked.size() >= frames.size());
    k.settle(*s);
  }
  const auto s = k.start();
  CHECK(hash_of(*s) == to_hex(truth(small_map(), frames)));
  CHECK(k.by->asked.empty());
}
