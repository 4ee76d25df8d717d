// From the mesher's patch to the viewer's socket.

#include "eager_viewer.hpp"
#include "toy_service.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::toy;

namespace {

/// A viewer that takes frames when the test says so.
struct viewer {
  explicit viewer(stepped_service& s) : service_{&s} {
    auto seen = frames;
    handle = spawn_session(s.system, s.running.context, s.running.broadcaster.get(), s.running.session,
                           [seen](session_output f) { seen->push_back(std::move(f)); });
  }
  ~viewer() {
    caf::anon_send_exit(handle, caf::exit_reason::user_shutdown);
    handle = nullptr;
    service_->run();
  }

  void join(const std::string& epoch = "", std::vector<held_patch> have = {}, uint64_t max_bits_per_s = 0) {
    caf::anon_send(handle, subscribe{epoch, std::move(have), max_bits_per_s});
    service_->run();
  }
  /// The socket took the last frame.
  void sent() {
    caf::anon_send(handle, sent_atom::value);
    service_->run();
  }
  /// Takes and acknowledges all that there is.
  void drain() {
    for (size_t had = ~size_t{0}; had != frames->size();) {
      had = frames->size();
      if (!frames->empty())
        if (auto* p = std::get_if<patch>(&frames->back()))
          caf::anon_send(handle, ack{{{p->region, p->version}}});
      sent();
    }
  }
  std::vector<patch> patches() const {
    std::vector<patch> out;
    for (const auto& f : *frames)
      if (auto* p = std::get_if<patch>(&f))
        out.push_back(*p);
    return out;
  }
  /// What is on the viewer's screen.
  std::map<region_key, uint64_t> screen() const {
    std::map<region_key, uint64_t> out;
    for (const auto& p : patches()) {
      if (p.triangles > 0)
        out[p.region] = p.version;
      else
        out.erase(p.region);
    }
    return out;
  }

  session_actor handle;
  std::shared_ptr<std::vector<session_output>> frames = std::make_shared<std::vector<session_output>>();

private:
  stepped_service* service_;
};

struct fixture {
  fixture() = default;
  template <class Change>
  explicit fixture(const Change& change) : s{changed(config_for(by), change), by} {}
  template <class Change>
  static service_config changed(service_config how, const Change& change) {
    change(how);
    return how;
  }

  std::shared_ptr<control> by = std::make_shared<control>();
  stepped_service s{config_for(by), by};
  std::vector<keyframe> frames = random_frames(1, 12);

  void put(size_t from, size_t to) {
    for (size_t i = from; i < to; ++i)
      s.put(frames[i]);
    s.run();
  }
  std::map<region_key, uint64_t> board() {
    auto answer = s.ask<std::vector<patch>>(s.running.broadcaster.get(), list_atom::value);
    s.run();
    std::map<region_key, uint64_t> out;
    for (const auto& p : **answer)
      out[p.region] = p.version;
    return out;
  }
};

} // namespace

TEST_CASE("a viewer gets nothing before it subscribes, and then one frame at a time") {
  fixture f;
  f.put(0, 2);
  viewer v{f.s};
  f.s.run();
  CHECK(v.frames->empty());
  v.join();
  CHECK(v.frames->size() == 1);
  f.put(2, 4);
  CHECK(v.frames->size() == 1);
  v.sent();
  CHECK(v.frames->size() == 2);
}

TEST_CASE("who joins gets all, however little room there is for encoded patches") {
  constexpr uint64_t cap = 1000;
  fixture f{[](service_config& how) { how.patch_bytes = cap; }};
  f.put(0, 8);
  for (int i = 0; i < 3; ++i) {
    viewer late{f.s};
    late.join();
    late.drain();
    CHECK(late.screen() == f.board());
    CHECK(late.screen().size() * 60 > 2 * cap); // more than there is room for
    CHECK(f.s.running.context.numbers->held_patch_bytes <= static_cast<int64_t>(cap));
    f.put(8 + static_cast<size_t>(i), 9 + static_cast<size_t>(i));
    late.drain();
    CHECK(late.screen() == f.board());
  }
}

TEST_CASE("a late joiner gets the whole map, then changes, and ends with what everybody has") {
  fixture f;
  f.put(0, 6);
  viewer early{f.s};
  early.join();
  early.drain();
  CHECK(early.screen() == f.board());
  f.put(6, 12);
  viewer late{f.s};
  late.join();
  late.drain();
  early.drain();
  CHECK(late.screen() == f.board());
  CHECK(early.screen() == f.board());
  std::map<region_key, int> times;
  for (const auto& p : late.patches())
    ++times[p.region];
  for (const auto& [region, n] : times)
    CHECK(n == 1);
  size_t cameras = 0;
  for (const auto& frame : *late.frames)
    if (auto* some = std::get_if<std::vector<camera>>(&frame))
      cameras += some->size();
  CHECK(cameras == 12);
}

TEST_CASE("a viewer that comes back gets only what it lacks") {
  fixture f;
  f.put(0, 6);
  std::vector<held_patch> have;
  {
    viewer first{f.s};
    first.join();
    first.drain();
    for (const auto& [region, version] : first.screen())
      have.push_back({region, version});
  }
  {
    viewer again{f.s};
    again.join("test", have);
    again.drain();
    CHECK(again.patches().empty());
  }
  f.s.put(retraction{f.frames[0].id});
  f.s.run();
  have.push_back({{77, 0, 0}, 5}); // a region that this run never had
  viewer again{f.s};
  again.join("test", have);
  again.drain();
  CHECK(again.patches().size() < have.size());
  std::map<region_key, uint64_t> screen;
  for (const auto& h : have)
    screen[h.region] = h.version;
  for (const auto& p : again.patches()) {
    if (p.triangles > 0)
      screen[p.region] = p.version;
    else
      screen.erase(p.region);
  }
  CHECK(screen == f.board());
  viewer other_run{f.s};
  other_run.join("another epoch", have);
  other_run.drain();
  CHECK(other_run.screen() == f.board());
}

TEST_CASE("a region that became empty is taken from every screen") {
  fixture f;
  f.put(0, 2);
  viewer v{f.s};
  v.join();
  v.drain();
  CHECK_FALSE(v.screen().empty());
  for (size_t i = 0; i < 2; ++i)
    f.s.put(retraction{f.frames[i].id});
  f.s.run();
  v.drain();
  CHECK(v.screen().empty());
  bool gone = false;
  for (const auto& frame : *v.frames)
    if (auto* cameras = std::get_if<std::vector<camera>>(&frame))
      for (const auto& c : *cameras)
        gone = gone || c.gone;
  CHECK(gone);
}

TEST_CASE("a viewer that stops reading costs the newest patches and no more, and catches up") {
  fixture f;
  viewer stalled{f.s}, other{f.s};
  stalled.join();
  other.join();
  for (size_t i = 0; i < 12; ++i) {
    f.put(i, i + 1);
    other.drain();
  }
  CHECK(stalled.frames->size() <= 1);
  CHECK(other.screen() == f.board());
  stalled.drain();
  CHECK(stalled.screen() == f.board());
  CHECK(stalled.patches().size() <= f.board().size() + 1);
}

TEST_CASE("a viewer that does not acknowledge is sent its window and no more") {
  fixture f;
  f.s.running.session.window_bytes = 300;
  f.put(0, 12);
  viewer v{f.s};
  v.join();
  for (int i = 0; i < 50; ++i)
    v.sent();
  uint64_t bytes = 0;
  size_t last = 0;
  for (const auto& p : v.patches()) {
    bytes += p.frame->size();
    last = p.frame->size();
  }
  CHECK(bytes - last < 300);
  const auto before = v.patches().size();
  std::vector<held_patch> seen;
  for (const auto& p : v.patches())
    seen.push_back({p.region, p.version});
  caf::anon_send(v.handle, ack{seen});
  v.sent();
  CHECK(v.patches().size() > before);
}

TEST_CASE("a viewer's bit rate is kept") {
  fixture f;
  f.put(0, 12);
  viewer v{f.s};
  v.join("", {}, 8 * 1000); // 1,000 bytes a second
  for (int ms = 0; ms < 5000; ms += 20) {
    if (!v.frames->empty())
      if (auto* p = std::get_if<patch>(&v.frames->back()))
        caf::anon_send(v.handle, ack{{{p->region, p->version}}});
    v.sent();
    f.s.tick(std::chrono::milliseconds{20});
  }
  uint64_t bytes = 0;
  for (const auto& p : v.patches())
    bytes += p.frame->size();
  CHECK(bytes <= 5 * 1000 + 200 + 100);
  CHECK(bytes >= 4 * 1000);
}

TEST_CASE("statistics come every second") {
  fixture f;
  f.put(0, 4);
  viewer v{f.s};
  v.join();
  v.drain();
  f.put(4, 12);
  for (int i = 0; i < 3; ++i) {
    f.s.tick(std::chrono::milliseconds{1000});
    v.drain();
  }
  std::vector<session_stats> stats;
  for (const auto& frame : *v.frames)
    if (auto* x = std::get_if<session_stats>(&frame))
      stats.push_back(*x);
  REQUIRE(stats.size() == 4);
  CHECK(stats.back().keyframes == 12);
  CHECK(stats[1].keyframes_per_s == Approx(8));
  CHECK(stats.back().viewers == 1);
  CHECK(stats.back().regions == f.board().size());
  CHECK(stats.back().pending == 0);
}

TEST_CASE("sessions are counted while they last") {
  fixture f;
  auto& n = *f.s.running.context.numbers;
  {
    viewer a{f.s}, b{f.s};
    a.join();
    CHECK(n.sessions == 1);
    b.join();
    CHECK(n.sessions == 2);
  }
  CHECK(n.sessions == 0);
}

TEST_CASE("versions grow and patches carry the newest keyframe's times") {
  fixture f;
  std::map<region_key, uint64_t> newest;
  for (size_t i = 0; i < 12; ++i) {
    f.put(i, i + 1);
    if (i == 5) {
      for (const auto& [region, version] : f.board())
        f.s.ask<bool>(f.s.running.supervisor.get(), kill_atom::value, region);
      f.s.run();
    }
    for (const auto& [region, version] : f.board()) {
      CHECK(version >= newest[region]);
      newest[region] = version;
    }
  }
  uint64_t latest = 0;
  for (const auto& frame : f.frames)
    latest = std::max(latest, frame.timestamp_ns);
  auto answer = f.s.ask<std::vector<patch>>(f.s.running.broadcaster.get(), list_atom::value);
  f.s.run();
  uint64_t shown = 0;
  for (const auto& p : **answer)
    shown = std::max(shown, p.keyframe_ns);
  CHECK(shown == latest);
}

TEST_CASE("many keyframes in a row cost few remeshes, and an interval holds patches back") {
  auto by = std::make_shared<control>();
  auto config = config_for(by);
  config.patch_interval = std::chrono::milliseconds{500};
  stepped_service s{config, by};
  const watcher viewer{s};
  const auto frames = random_frames(2, 30);
  for (const auto& f : frames)
    s.put(f);
  s.run();
  const auto& n = *s.running.context.numbers;
  const auto first = n.patches.load();
  const auto regions = static_cast<uint64_t>(n.regions.load());
  CHECK(first <= regions + 5); // the first patch of each region goes at once
  s.tick(std::chrono::milliseconds{500});
  CHECK(n.patches <= first + regions);
  CHECK(static_cast<uint64_t>(n.triangles.load()) == s.status().field.blocks);
}

namespace {

/// Tells bases apart.
size_t bytes_on(uint64_t base) {
  return base % 997;
}

/// Frames with cells, of bytes_on(base).
std::optional<std::vector<cells_frame>> toy_cells(const region_mesh& surface, patch& about, const std::vector<uint64_t>& bases,
                                                  block_history& changes) {
  about.vertices = static_cast<uint32_t>(surface.surface->vertices());
  about.triangles = static_cast<uint32_t>(surface.surface->triangles());
  if (changes.first == 0)
    changes.first = surface.version;
  changes.newest = surface.version;
  std::vector<cells_frame> out;
  for (const auto base : bases)
    out.push_back({base, std::make_shared<const std::vector<std::byte>>(bytes_on(base))});
  return out;
}

/// A map whose viewers may take cells.
struct cells_fixture : fixture {
  explicit cells_fixture(cells_function cells = toy_cells) : fixture{[&](service_config& how) { how.encode_cells = cells; }} {
    s.running.session.cells = true;
  }
};

} // namespace

TEST_CASE("without viewers nothing is encoded; then what they want, once for all who want the same") {
  fixture f;
  f.put(0, 12);
  const auto& n = *f.s.running.context.numbers;
  CHECK(n.encode_time.count() == 0);
  CHECK(n.patches == 0);
  CHECK(static_cast<uint64_t>(n.regions.load()) == f.board().size());
  viewer a{f.s}, b{f.s};
  a.join();
  b.join();
  for (int i = 0; i < 400; ++i) {
    a.sent();
    b.sent();
  }
  CHECK(a.screen() == f.board());
  CHECK(b.screen() == f.board());
  CHECK(n.encode_time.count() == f.board().size());
  CHECK(n.sent_patches == 2 * f.board().size());
}

TEST_CASE("a viewer who takes cells is sent what changed since the version that it holds") {
  cells_fixture f;
  f.put(0, 6);
  viewer v{f.s};
  v.join();
  v.drain();
  std::map<region_key, uint64_t> held;
  const auto look = [&](size_t from) {
    const auto all = v.patches();
    for (size_t i = from; i < all.size(); ++i) {
      if (all[i].triangles > 0)
        CHECK(all[i].frame->size() == bytes_on(held[all[i].region]));
      held[all[i].region] = all[i].triangles > 0 ? all[i].version : 0;
    }
    return all.size();
  };
  auto seen = look(0);
  CHECK(seen > 0);
  f.put(6, 12);
  v.drain();
  seen = look(seen);
  CHECK(v.screen() == f.board());

  // What it has lost comes whole, and nothing else does.
  const auto lost_one = f.board().begin()->first;
  caf::anon_send(v.handle, lost{{lost_one, {99, 99, 99}}});
  v.drain();
  held[lost_one] = 0;
  CHECK(v.patches().size() == seen + 1);
  CHECK(v.patches().back().region == lost_one);
  look(seen);

  // One who comes back with an older version is sent the changes since then.
  std::vector<held_patch> have;
  for (const auto& [region, version] : f.board())
    have.push_back({region, version});
  f.s.put(retraction{f.frames[3].id});
  f.s.run();
  viewer again{f.s};
  again.join("test", have);
  again.drain();
  CHECK_FALSE(again.patches().empty());
  for (const auto& p : again.patches())
    for (const auto& h : have)
      if (h.region == p.region && p.triangles > 0)
        CHECK(p.frame->size() == bytes_on(h.version));
}

TEST_CASE("what a viewer came with is not sent again because others want it otherwise, and is what changes build on") {
  cells_fixture f;
  f.put(0, 6);
  std::vector<held_patch> have;
  for (const auto& [region, version] : f.board())
    have.push_back({region, version});
  viewer v{f.s};
  caf::anon_send(v.handle, lost{{have.front().region}}); // before there is anything to lose
  v.join("test", have);
  v.drain();
  CHECK(v.patches().empty());
  viewer fresh{f.s};
  fresh.join();
  fresh.drain();
  for (const auto& one : have)
    f.s.ask<patch>(f.s.running.broadcaster.get(), patch_atom::value, one.region); // as a file
  f.s.run();
  CHECK(fresh.screen() == f.board());
  v.drain();
  CHECK(v.patches().empty());
  f.put(6, 12);
  v.drain();
  const auto all = v.patches();
  CHECK_FALSE(all.empty());
  for (const auto& p : all)
    for (const auto& h : have)
      if (h.region == p.region)
        CHECK(p.frame->size() == bytes_on(h.version));
}

TEST_CASE("a surface that cells cannot tell goes out as Draco's, and the next cells are whole") {
  bool fits = false;
  cells_fixture f{[&](const region_mesh& surface, patch& about, const std::vector<uint64_t>& bases, block_history& changes) {
    return fits ? toy_cells(surface, about, bases, changes) : std::optional<std::vector<cells_frame>>{};
  }};
  f.put(0, 6);
  viewer v{f.s};
  v.join();
  v.drain();
  CHECK(v.screen() == f.board());
  for (const auto& p : v.patches())
    CHECK(p.frame->size() == 56 + 2 * p.triangles);
  const auto seen = v.patches().size();
  fits = true;
  f.put(6, 12);
  v.drain();
  CHECK(v.screen() == f.board());
  const auto all = v.patches();
  for (size_t i = seen; i < all.size(); ++i)
    CHECK(all[i].frame->empty()); // base 0
}

TEST_CASE("a region whose mesher never answers holds nobody else's up, and comes when there is another") {
  fixture f;
  f.put(0, 12);
  viewer v{f.s};
  const auto silent = f.board().begin()->first;
  v.join();
  f.s.ask<bool>(f.s.running.supervisor.get(), kill_atom::value, silent); // with what it was asked
  v.drain();
  for (int i = 0; i < 20; ++i) {
    f.s.tick(std::chrono::milliseconds{250});
    v.drain();
  }
  CHECK(v.screen() == f.board());
}
