// Of many keyframes under way each has its points read by one GPU, which makes the rays for its peers: whatever fails in between,
// the map is that of the live keyframes, and a keyframe that comes alone goes to all.

#include "tests/support/torn_body.hpp"
#include "toy_gpu.hpp"
#include "wanted_map.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <numeric>

using namespace tessera;
using namespace tessera::toy;

namespace {

using answers = std::vector<std::shared_ptr<std::optional<verdict>>>;

/// GPUs whose answers come when the test says so.
struct held_gpus {
  explicit held_gpus(size_t count) : gpus{toy_gpus(count)}, by{std::make_shared<control>()}, s{config_on(gpus, by), by} {}
  ~held_gpus() { let_go(); }

  /// Keyframes come while another is under way.
  answers put(const std::vector<keyframe>& frames) {
    for (const auto& g : gpus)
      g->holds = true;
    answers out;
    for (const auto& f : frames) {
      out.push_back(s.put(f));
      s.run(); // the first of them finds nothing under way
    }
    return out;
  }
  void release(size_t gpu) {
    gpus[gpu]->release();
    s.run();
  }
  void let_go() {
    for (const auto& g : gpus) {
      g->holds = false;
      g->release();
    }
    s.run();
    for (int i = 0; i < 20; ++i)
      s.tick(std::chrono::milliseconds{250});
  }
  [[nodiscard]] uint64_t read() const {
    return std::accumulate(gpus.begin(), gpus.end(), uint64_t{0}, [](uint64_t n, const auto& g) { return n + g->by->keyframes; });
  }
  [[nodiscard]] uint64_t from_peers() const {
    return std::accumulate(gpus.begin(), gpus.end(), uint64_t{0},
                           [](uint64_t n, const auto& g) { return n + g->by->from_peers; });
  }
  [[nodiscard]] int peer_rays_held() const {
    return std::accumulate(gpus.begin(), gpus.end(), 0, [](int n, const auto& g) { return n + g->by->peer_rays_held; });
  }
  /// The map is that of these keyframes, and no peer's rays are held any more.
  void check_map_of(const std::vector<keyframe>& frames) {
    let_go();
    const auto status = s.status();
    CHECK(status.keyframes == frames.size());
    CHECK(to_hex(status.field.hash) == to_hex(truth(small_map(), frames)));
    CHECK(peer_rays_held() == 0);
    CHECK(s.running.context.numbers->lost_core == 0);
  }

  std::vector<std::shared_ptr<toy::field>> gpus;
  std::shared_ptr<control> by;
  stepped_service s;
};

void check_all_are(const answers& all, outcome what) {
  for (const auto& v : all) {
    REQUIRE(*v);
    CHECK((*v)->what == what);
  }
}

/// Viewers who join now are shown what the map is.
void check_shown(stepped_service& s) {
  auto patches = s.ask<std::vector<patch>>(s.running.broadcaster.get(), list_atom::value);
  s.run();
  std::map<region_key, uint32_t> shown;
  for (const auto& p : patches->value())
    if (p.triangles > 0)
      shown[p.region] = p.triangles;
  CHECK(shown == wanted(s));
}

/// A keyframe with all points in one place.
keyframe at_one_place(const std::string& id, float x) {
  auto body = std::make_shared<owned_keyframe_body>();
  body->point_data = {x, 1, 1, x + 1, 1, 1};
  body->colour_data.resize(6);
  keyframe out;
  out.id.value = id;
  out.timestamp_ns = out.received_ns = 1;
  out.body = std::move(body);
  return out;
}

} // namespace

TEST_CASE("of many keyframes under way each has its points read by one GPU, in turn; one that comes alone by all") {
  for (const size_t count : {2u, 3u, 4u}) {
    INFO(count << " GPUs");
    held_gpus on{count};
    const auto frames = random_frames(41, 13);
    const auto verdicts = on.put(frames);
    CHECK(on.read() == count + frames.size() - 1);
    for (const auto& g : on.gpus)
      CHECK(g->by->keyframes >= 1 + (frames.size() - 1) / count);
    CHECK(on.from_peers() == 0); // nothing is sent to peers before it was made
    on.let_go();
    check_all_are(verdicts, outcome::accepted);
    CHECK(on.from_peers() > 0);
    CHECK(on.from_peers() <= (count - 1) * (frames.size() - 1));
    CHECK(on.read() == count + frames.size() - 1);
    on.check_map_of(frames);
    CHECK(on.by->integrated == 0);

    // The rays come down from one GPU.
    uint64_t kept = 0;
    for (const auto& g : on.gpus)
      kept += static_cast<uint64_t>(
        std::count_if(g->by->asked.begin(), g->by->asked.end(), [](const take_request& r) { return r.keep_rays; }));
    CHECK(kept == frames.size());

    // What comes one after another is read by all.
    const auto before = on.read();
    for (const auto& f : random_frames(42, 3)) {
      auto alone = f;
      alone.id.value += " alone";
      auto v = on.s.put(alone);
      on.s.run();
      CHECK(v->value().what == outcome::accepted);
    }
    CHECK(on.read() == before + 3 * count);
  }
}

TEST_CASE("a GPU that a keyframe does not touch is not asked") {
  held_gpus on{3};
  const std::vector<keyframe> frames{at_one_place("a", 1), at_one_place("b", 17), at_one_place("c", 33), at_one_place("d", 49)};
  const auto verdicts = on.put(frames);
  on.let_go();
  check_all_are(verdicts, outcome::accepted);
  CHECK(on.read() == 3 + 3); // the first came alone
  size_t asked = 0;
  for (const auto& g : on.gpus)
    asked += g->by->asked.size();
  CHECK(asked < 3 * frames.size()); // each touches two regions, of two GPUs
  CHECK(asked == on.read() + on.from_peers());
  on.check_map_of(frames);
}

TEST_CASE("a keyframe whose points no GPU can take is refused by the one that reads them, and nobody else hears of it") {
  held_gpus on{2};
  auto frames = random_frames(43, 4);
  frames[2].body = std::make_shared<test::torn_body>(frames[2].body);
  keyframe empty = frames[3];
  empty.id.value = "empty";
  auto nowhere = std::make_shared<owned_keyframe_body>();
  nowhere->point_data.assign(3, 1e7f);
  nowhere->colour_data.resize(3);
  empty.body = nowhere;
  frames.push_back(empty);
  const auto verdicts = on.put(frames);
  on.let_go();
  CHECK(verdicts[2]->value().what == outcome::not_now);
  CHECK_THAT(verdicts[2]->value().reason, Catch::Contains("the segment shrank"));
  CHECK(verdicts[4]->value().what == outcome::refused);
  on.check_map_of({frames[0], frames[1], frames[3]});
}

TEST_CASE("a GPU that breaks before its peers have their rays is replaced, and one that breaks after it as well") {
  for (const size_t breaks : {0u, 1u})
    for (const bool sent_to_peers : {false, true}) {
      INFO("GPU " << breaks << " breaks " << (sent_to_peers ? "after its peers had their rays" : "before"));
      held_gpus on{2};
      const auto frames = random_frames(44, 9);
      const auto verdicts = on.put(frames);
      if (sent_to_peers) {
        // The others have their rays, or will; their answers are held.
        on.release(1 - breaks);
        on.gpus[breaks]->release(); // the rays lie in its memory, and the messages are not delivered yet
      }
      on.gpus[breaks]->by->broken = true;
      on.let_go();
      auto all = frames;
      all.push_back(at_one_place("one more", 1)); // who asks next finds out, if nobody did
      on.s.put(all.back());
      on.let_go();
      check_all_are(verdicts, outcome::accepted);
      on.check_map_of(all);
      CHECK(on.s.running.context.numbers->device_failures == 1); // the other one did nothing wrong
      CHECK(on.s.running.context.numbers->devices.names() == "toy GPU " + std::to_string(1 - breaks));
    }
}

TEST_CASE("rays that were lost with their GPU are no fault of the one that was to take them") {
  held_gpus on{2};
  const auto frames = random_frames(46, 6);
  const auto verdicts = on.put(frames);
  for (const auto& g : on.gpus) {
    g->holds = false;
    g->release();
  }
  on.gpus[0]->by->broken = true; // its answers are on their way
  on.let_go();
  check_all_are(verdicts, outcome::accepted);
  on.check_map_of(frames);
  CHECK(on.s.running.context.numbers->device_failures == 1);
  CHECK(on.s.running.context.numbers->devices.names() == "toy GPU 1");
}

TEST_CASE("a keyframe for which a peer has no room is taken back from the one that made it") {
  held_gpus on{2};
  const auto frames = random_frames(47, 7);
  on.s.put(frames[0]);
  on.s.run();
  auto verdicts = on.put({frames.begin() + 1, frames.end()});
  for (const auto& g : on.gpus)
    g->by->cells_left = 0; // what was taken stays; what peers take from now on finds no room
  on.let_go();
  check_all_are({verdicts.begin() + 1, verdicts.end()}, outcome::not_now);
  for (size_t i = 1; i < verdicts.size(); ++i)
    CHECK_THAT(verdicts[i]->value().reason, Catch::Contains("room"));
  REQUIRE(verdicts[0]->value().what == outcome::accepted);
  CHECK(on.s.status().keyframes == 2);
  on.check_map_of({frames[0], frames[1]});
  CHECK(on.s.running.context.numbers->device_failures == 0);
  CHECK(on.s.running.context.numbers->restarts == 0);
  for (const auto& g : on.gpus)
    g->by->cells_left = ~0ull;
  verdicts = on.put({frames.begin() + 2, frames.end()});
  on.let_go();
  check_all_are(verdicts, outcome::accepted);
  on.check_map_of(frames);
}

TEST_CASE("without memory for rays of others a keyframe is taken whole") {
  held_gpus on{2};
  for (const auto& g : on.gpus)
    g->by->room_for_peers = false;
  const auto frames = random_frames(48, 6);
  const auto verdicts = on.put(frames);
  on.let_go();
  check_all_are(verdicts, outcome::accepted);
  CHECK(on.from_peers() == 0);
  on.check_map_of(frames);
}

TEST_CASE("a keyframe that one of two GPUs took is taken back from it, whichever of them had kept the rays") {
  for (const size_t fails : {0u, 1u}) {
    INFO("GPU " << fails);
    held_gpus on{2};
    const auto frames = random_frames(49, 4);
    for (const auto& f : frames) { // one after another: whole, and kept by one in turn
      on.gpus[fails]->by->cells_left = 0;
      auto v = on.s.put(f);
      on.s.run();
      REQUIRE(v->value().what == outcome::not_now);
      for (const auto& region : regions_of(small_map(), f))
        for (const auto& g : on.gpus)
          CHECK(g->count(region).blocks == 0);
      on.gpus[fails]->by->cells_left = ~0ull;
      v = on.s.put(f);
      on.s.run();
      REQUIRE(v->value().what == outcome::accepted);
      v = on.s.put(retraction{f.id});
      on.s.run();
      REQUIRE(v->value().what == outcome::accepted);
    }
    CHECK(on.s.running.context.numbers->restarts == 0);
    on.check_map_of({});
  }
}

TEST_CASE("whoever is killed while peers get their rays, the map is whole and none stay held") {
  const std::vector<std::string> roles{"ingest", "partitioner", "device"};
  for (unsigned seed = 0; seed < 40; ++seed) {
    INFO("seed " << seed);
    std::mt19937 random{seed};
    held_gpus on{2 + seed % 2};
    auto sink = make_ingest_sink(on.s.system, on.s.running, 1000);
    on.s.run();
    int accepted = 0, others = 0;
    const auto frames = random_frames(500 + seed, 12);
    for (const auto& g : on.gpus)
      g->holds = true;
    for (const auto& f : frames) {
      sink->offer(f,
                  [&](const verdict& v) { ++(v.what == outcome::accepted || v.what == outcome::duplicate ? accepted : others); });
      on.s.run_some(random, random() % 80);
      if (random() % 2 == 0)
        on.gpus[random() % on.gpus.size()]->release();
      on.s.run_some(random, random() % 40);
      if (random() % 4 == 0)
        on.s.kill(roles[random() % roles.size()]);
      if (random() % 12 == 0)
        on.gpus[0]->by->broken = true;
      on.s.run_some(random, random() % 20);
    }
    on.let_go();
    on.check_map_of(frames);
    CHECK(accepted == static_cast<int>(frames.size()));
    CHECK(others == 0);
    check_shown(on.s);
    sink->close();
    sink.reset();
    on.s.run();
  }
}

TEST_CASE("a refill whose GPU's actor dies, too, waits for the next one") {
  held_gpus on{2};
  const auto frames = random_frames(50, 8);
  on.put(frames);
  on.let_go();
  for (const auto& g : on.gpus)
    g->holds = true;
  for (int i = 0; i < 2; ++i) { // the second time refills are under way
    caf::anon_send_exit(on.s.running.devices.get().devices[0].handle, caf::exit_reason::kill);
    on.s.run(); // ends, although the partitioner hears of it before the supervisor
  }
  on.check_map_of(frames);
  check_shown(on.s);
}

TEST_CASE("no peer's rays outlive the service, however it ends") {
  const auto gpus = toy_gpus(3);
  std::vector<std::shared_ptr<control>> controls;
  for (const auto& g : gpus)
    controls.push_back(g->by);
  {
    auto by = std::make_shared<control>();
    stepped_service s{config_on(gpus, by), by};
    for (const auto& g : gpus)
      g->holds = true;
    for (const auto& f : random_frames(51, 9)) {
      s.put(f);
      s.run();
    }
    gpus[0]->release(); // answers that are on their way when everybody ends
  }
  std::vector<std::shared_ptr<async_fields>> all{gpus.begin(), gpus.end()};
  for (const auto& g : gpus) {
    g->holds = false;
    g->release();
  }
  for (const auto& c : controls)
    CHECK(c->peer_rays_held == 0);
  close_together(all);
  CHECK(all.empty());
}

TEST_CASE("the more devices hold the map, the more keyframes are under way") {
  for (const size_t count : {0u, 1u, 3u}) {
    auto by = std::make_shared<control>();
    auto config = config_on(toy_gpus(count), by);
    config.credit = 5;
    CHECK(credit_of(config) == 5 * std::max<size_t>(1, count));
    stepped_service s{config, by};
    CHECK(s.running.context.numbers->credit_limit == static_cast<int64_t>(5 * std::max<size_t>(1, count)));
  }
}
