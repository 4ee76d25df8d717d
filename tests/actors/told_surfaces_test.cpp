// What viewers were told outlives the process, so that those who come back are sent only what they lack.

#include "actors/regions/told_surfaces.hpp"
#include "snapshots.hpp"
#include "wanted_map.hpp"
#include "watched_service.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace tessera;
using namespace tessera::toy;

namespace {

constexpr region_key here{3, -1, 0}, there{3, -1, 1};

std::shared_ptr<told_surfaces> open(const std::string& file, bool fresh = false, std::string* told = nullptr) {
  log_function log;
  if (told != nullptr)
    log = [told](severity, const std::string& text) { *told += text; };
  return std::make_shared<told_surfaces>(file, fresh, std::move(log), false);
}

/// A viewer that takes and acknowledges all, and comes back with what it has.
class lasting_viewer {
public:
  struct held {
    uint64_t version;
    uint32_t triangles;
  };

  void join(stepped_service& s) {
    auto to = frames_ = std::make_shared<std::deque<session_output>>();
    service_ = &s;
    handle_ = spawn_session(s.system, s.running.context, s.running.broadcaster.get(), s.running.session,
                            [to](session_output f) { to->push_back(std::move(f)); });
    std::vector<held_patch> have;
    for (const auto& [region, its] : screen)
      have.push_back({region, its.version});
    caf::anon_send(handle_, subscribe{epoch, have, 0});
    epoch = s.running.epoch;
    s.run();
  }
  /// Takes all that there is; answers how many patches that were.
  size_t drain() {
    size_t out = 0;
    while (!frames_->empty()) {
      const auto next = std::move(frames_->front());
      frames_->pop_front();
      if (const auto* p = std::get_if<patch>(&next)) {
        ++out;
        caf::anon_send(handle_, ack{{{p->region, p->version}}});
        auto& its = screen[p->region];
        CHECK(p->version > its.version); // a viewer would not take it
        its = {p->version, p->triangles};
        if (p->triangles == 0)
          screen.erase(p->region);
      }
      caf::anon_send(handle_, sent_atom::value);
      service_->run();
    }
    return out;
  }
  void leave() {
    caf::anon_send_exit(handle_, caf::exit_reason::user_shutdown);
    handle_ = nullptr;
    service_->run();
  }
  [[nodiscard]] std::map<region_key, uint32_t> triangles() const {
    std::map<region_key, uint32_t> out;
    for (const auto& [region, its] : screen)
      out[region] = its.triangles;
    return out;
  }

  std::map<region_key, held> screen;
  std::string epoch;

private:
  stepped_service* service_ = nullptr;
  session_actor handle_;
  std::shared_ptr<std::deque<session_output>> frames_;
};

void put(stepped_service& s, const std::vector<keyframe>& frames) {
  for (const auto& frame : frames)
    s.put(frame);
  s.run();
}

/// A journal, and services on it one after another.
struct lasting {
  temporary_folder folder;
  std::shared_ptr<control> by = std::make_shared<control>();
  std::shared_ptr<told_surfaces> surfaces;

  std::unique_ptr<stepped_service> start(bool fresh = false) {
    auto config = config_for(by);
    surfaces = open(folder / "surfaces", fresh);
    config.told = surfaces;
    config.epoch.clear();
    config.make_store = [path = folder / "journal"] { return std::make_shared<waiting_store>(open_store(path)); };
    return std::make_unique<stepped_service>(config, by);
  }
  /// As a process that ends, or one that is killed before it wrote what it told last.
  void end(std::unique_ptr<stepped_service>& s, bool killed = false) {
    std::filesystem::create_hard_link(folder / "surfaces", folder / "before");
    s.reset();
    surfaces->stop();
    surfaces.reset();
    std::filesystem::rename(folder / "before", killed ? folder / "surfaces" : folder / "gone");
  }
};

} // namespace

TEST_CASE("what was told is there the next time, once, under the same epoch, and later versions are above it") {
  temporary_folder folder;
  const auto file = folder / "surfaces";
  std::string told;
  auto first = open(file, true, &told);
  const auto epoch = first->epoch();
  CHECK(epoch.size() == 16);
  const told_surface a{(first->first_number() + 70'000) << 32 | 5, {1, ~0ull}}, b{first->first_number() << 32 | 1, {7, 7}};
  first->tell(here, b);
  first->tell(here, a);
  first->tell(there, b);
  first->erase(there);
  first->stop();
  auto second = open(file, false, &told);
  CHECK(second->epoch() == epoch);
  CHECK(second->first_number() > a.version >> 32);
  CHECK(second->kept() == 1);
  CHECK(second->take_kept(here) == a);
  CHECK(!second->take_kept(here)); // from then on this process tells
  CHECK(!second->take_kept(there));
  second->stop();
  CHECK(open(file)->take_kept(here) == a); // it told nothing
  auto third = open(file);
  third->forget_kept();
  third->stop();
  CHECK(open(file)->kept() == 0);
  CHECK(open(file)->epoch() == epoch);
  CHECK(open(file, true)->epoch() != epoch);
  CHECK(told.empty());
}

TEST_CASE("a file that is damaged, or cannot be written, begins an epoch, and says so") {
  temporary_folder folder;
  const auto file = folder / "surfaces";
  auto first = open(file, true);
  const auto epoch = first->epoch();
  first->tell(here, {first->first_number() << 32 | 1, {7, 7}});
  first->stop();
  const auto whole = content_of(file);
  for (size_t at = 0; at < whole.size(); at += 1 + whole.size() / 30) {
    auto bytes = whole;
    bytes[at] ^= 0x20;
    std::ofstream{file, std::ios::binary} << bytes;
    std::string told;
    auto next = open(file, false, &told);
    CHECK(next->epoch() != epoch);
    CHECK(next->kept() == 0);
    CHECK(says(told, {file.c_str(), "cannot be used"}));
  }
  std::ofstream{file, std::ios::binary} << whole.substr(0, whole.size() / 2);
  CHECK(open(file)->kept() == 0);

  std::string told;
  CHECK(open(folder / "none/surfaces", false, &told)->epoch().size() == 16);
  CHECK(says(told, {"the epoch does not go on", "none"}));
}

TEST_CASE("a copy of the file is another epoch, since nobody knows what was told since") {
  temporary_folder folder;
  const auto file = folder / "surfaces";
  const auto epoch = open(file, true)->epoch();
  std::filesystem::copy_file(file, folder / "copy");
  CHECK(open(file)->epoch() == epoch);
  std::filesystem::rename(folder / "copy", file);
  std::string told;
  CHECK(open(file, false, &told)->epoch() != epoch);
  CHECK(says(told, {"is a copy"}));
}

TEST_CASE("numbers are reserved before a version of one of them is told") {
  temporary_folder folder;
  const auto file = folder / "surfaces";
  auto first = open(file, true);
  CHECK(open(file)->first_number() <= first->first_number() + 2); // who told nothing used none
  first = open(file);
  const auto number = first->first_number() + 1;
  first->tell(here, {number << 32 | 1, {1, 2}});
  // It is not stopped: as one that is killed now.
  CHECK(open(file)->first_number() > number);
  CHECK(open(file)->kept() == 1);
}

TEST_CASE("who comes back after a restart is sent only what changed") {
  const auto frames = random_frames(1, 12);
  lasting l;
  lasting_viewer viewer, late;
  auto s = l.start();
  put(*s, {frames.begin(), frames.begin() + 10});
  viewer.join(*s);
  CHECK(viewer.drain() >= viewer.screen.size());
  CHECK(viewer.triangles() == shown(*s));
  const auto epoch = s->running.epoch;
  l.end(s);

  s = l.start();
  CHECK(s->running.epoch == epoch);
  viewer.join(*s);
  s->status(); // all is there again
  CHECK(viewer.drain() == 0);
  CHECK(viewer.triangles() == wanted(*s));
  late.join(*s);
  late.drain();
  CHECK(late.triangles() == wanted(*s));
  s->put(frames[10]);
  s->run();
  const auto sent = viewer.drain();
  CHECK(sent > 0);
  CHECK(sent <= regions_of(frames[10]).size());
  viewer.leave();
  s->kill("broadcaster"); // its successor knows nothing, and calls nothing gone
  s->run();
  viewer.join(*s);
  viewer.drain();
  late.join(*s);
  late.drain();
  CHECK(viewer.triangles() == wanted(*s));
  CHECK(late.triangles() == wanted(*s));
  viewer.leave();
  s->put(retraction{frames[0].id}); // while nobody looks
  s->run();
  late.drain();
  l.end(s);

  s = l.start();
  s->status();
  viewer.join(*s); // when all is there
  CHECK(viewer.drain() < viewer.screen.size() + 5);
  CHECK(viewer.triangles() == wanted(*s));
  late.join(*s);
  CHECK(late.drain() == 0);
  CHECK(late.triangles() == wanted(*s));
}

TEST_CASE("what went while a viewer was away is gone when he comes back to another process") {
  const auto frames = random_frames(3, 10);
  lasting l;
  lasting_viewer viewer;
  auto s = l.start();
  put(*s, frames);
  viewer.join(*s);
  viewer.drain();
  viewer.leave();
  for (size_t i = 0; i < 5; ++i)
    s->put(retraction{frames[i].id});
  s->run();
  const auto left = wanted(*s);
  REQUIRE(left.size() < viewer.screen.size());
  l.end(s);
  s = l.start();
  viewer.join(*s);
  viewer.drain();
  s->status();
  viewer.drain();
  CHECK(viewer.triangles() == left);
}

TEST_CASE("what a killed process told last is told again under a newer version, or sent") {
  const auto frames = random_frames(7, 12);
  lasting l;
  lasting_viewer viewer;
  auto s = l.start();
  put(*s, {frames.begin(), frames.begin() + 6});
  viewer.join(*s);
  viewer.drain();
  l.end(s);
  s = l.start();
  viewer.join(*s);
  s->put(frames[6]);
  s->run();
  viewer.drain();
  // To the surface that the file tells of, under a version that it does not: only the viewer knows that one.
  s->put(retraction{frames[6].id});
  s->run();
  viewer.drain();
  const auto before = wanted(*s);
  CHECK(viewer.triangles() == before);
  l.end(s, true);
  s = l.start();
  viewer.join(*s);
  s->status();
  viewer.drain();
  CHECK(viewer.triangles() == before);
  CHECK(viewer.triangles() == wanted(*s));
  s->put(frames[8]);
  s->run();
  viewer.drain();
  CHECK(viewer.triangles() == wanted(*s)); // and goes on
}

TEST_CASE("an epoch of another map is none of this one") {
  const auto frames = random_frames(2, 4);
  lasting l;
  lasting_viewer viewer;
  auto s = l.start();
  put(*s, frames);
  viewer.join(*s);
  const auto all = viewer.drain();
  const auto epoch = s->running.epoch;
  l.end(s);
  s = l.start(true);
  CHECK(s->running.epoch != epoch);
  viewer.screen.clear(); // as a viewer does under another epoch
  viewer.join(*s);
  s->status();
  CHECK(viewer.drain() == all);
}
