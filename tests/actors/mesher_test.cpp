// One mesher, whose device and encoder the test plays: they take as long as the test says, by the test scheduler's clock.

#include "actors/regions/mesher.hpp"
#include "actors/viewers/broadcaster.hpp"
#include "eager_viewer.hpp"
#include "toy_service.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::toy;
using namespace std::chrono_literals;

namespace {

/// What the device was asked for, and how the test lets it be done.
struct desk {
  std::deque<caf::typed_response_promise<region_mesh>> under_way;
  int extractions = 0;
  bool same_surface = false, no_memory = false;
};

/// idle: what is under way is done.
using played_actor = device_actor::extend<caf::reacts_to<caf::idle_atom>>;

class played_device final : public played_actor::base {
public:
  played_device(caf::actor_config& cfg, std::shared_ptr<desk> shared) : played_actor::base(cfg), desk_{std::move(shared)} {}
  void on_exit() override { desk_->under_way.clear(); }
  behavior_type make_behavior() override {
    return {
      [](take_atom, const take_request&) { return take_report{}; },
      [](rays_atom, const keyframe&) { return made_rays{}; },
      [this](extract_atom, region_key) {
        desk_->under_way.push_back(make_response_promise<caf::typed_response_promise<region_mesh>>());
        ++desk_->extractions;
        return desk_->under_way.back();
      },
      [](mesh_atom, region_key) { return region_mesh{}; },
      [](slice_atom, region_key, const field_plane&) { return region_slice{}; },
      [](status_atom, region_key) { return field_stats{}; },
      [](export_atom, region_key) { return std::make_shared<region_image>(); },
      [](import_atom, region_key region, const shared_image&) { return region; },
      [](drop_atom, region_key) {},
      [](clear_atom) {},
      [this](caf::idle_atom) {
        for (auto& promise : std::exchange(desk_->under_way, {}))
          if (desk_->no_memory)
            promise.deliver(caf::make_error(ec::out_of_memory));
          else
            promise.deliver(region_mesh{{}, 0, surface()});
      },
    };
  }

private:
  /// Another each time, unless told otherwise.
  [[nodiscard]] std::shared_ptr<const mesh> surface() const {
    auto out = std::make_shared<mesh>();
    out->positions = {desk_->same_surface ? 0 : static_cast<float>(desk_->extractions), 0, 0, 1, 0, 0, 0, 1, 0};
    out->normals.resize(9);
    out->colours.resize(9);
    out->keys = {1, 2, 3};
    out->indices = {0, 1, 2};
    return out;
  }
  std::shared_ptr<desk> desk_;
};

/// A region whose device and encoder work when the test says so.
class played_region {
public:
  explicit played_region(uint64_t generation = 0, bool watched = true, std::optional<told_surface> before = {})
    : watched_{watched} {
    mesher_config config;
    config.before = before;
    if (before)
      config.version = (before->version | UINT32_MAX) + 1;
    config.generation = generation;
    config.encoders = encoders;
    device_ = system_.spawn<played_device>(shared);
    broadcaster_ = spawn_broadcaster(system_, context, {"test", encode});
    mesher_ = spawn_mesher(system_, context, device_, broadcaster_, std::move(config));
    watch();
  }
  ~played_region() {
    for (const auto& a :
         {caf::actor_cast<caf::actor>(mesher_), caf::actor_cast<caf::actor>(device_), caf::actor_cast<caf::actor>(broadcaster_)})
      caf::anon_send_exit(a, caf::exit_reason::user_shutdown);
    if (viewer_)
      stop_watching();
    mesher_ = nullptr;
    device_ = nullptr;
    broadcaster_ = nullptr;
    scheduler().run();
  }

  /// Somebody wants every surface from now on.
  void watch() {
    if (!watched_)
      return;
    if (viewer_)
      caf::anon_send_exit(viewer_, caf::exit_reason::user_shutdown);
    viewer_ = caf::actor_cast<caf::actor>(system_.spawn<eager_viewer>(broadcaster_));
    scheduler().run();
  }
  void begin_watching() {
    watched_ = true;
    watch();
  }
  void stop_watching() {
    caf::anon_send_exit(viewer_, caf::exit_reason::user_shutdown);
    viewer_ = nullptr;
    scheduler().run();
  }

  /// A keyframe was taken.
  void change(uint64_t keyframe_ns = 0) {
    caf::anon_send(mesher_, dirty_atom::value, keyframe_ns, keyframe_ns, uint64_t{0});
    scheduler().run();
  }
  void refill(bool begins) {
    caf::anon_send(mesher_, refill_atom::value, begins);
    scheduler().run();
  }
  void pass(std::chrono::milliseconds time) {
    scheduler().advance_time(time);
    scheduler().run();
  }
  /// The extraction under way is done.
  void finish() {
    REQUIRE(shared->under_way.size() == 1); // a mesher asks for one at a time
    caf::anon_send(device_, caf::idle_atom::value);
    scheduler().run();
  }
  /// What was extracted is encoded; false if nothing was.
  bool encode_one() {
    const auto did = encoders->work();
    scheduler().run();
    return did;
  }
  void kill() {
    caf::anon_send_exit(mesher_, caf::exit_reason::kill);
    scheduler().run();
  }

  void leave() {
    caf::anon_send(mesher_, leave_atom::value);
    scheduler().run();
  }
  [[nodiscard]] bool up() const {
    for (const auto& a : context.registry->statuses())
      if (a.role == "mesher")
        return a.state != "down";
    return false;
  }

  void replace_broadcaster() {
    caf::anon_send_exit(broadcaster_, caf::exit_reason::kill);
    broadcaster_ = spawn_broadcaster(system_, context, {"test", encode});
    watch();
    caf::anon_send(mesher_, caf::put_atom::value, broadcaster_);
    scheduler().run();
  }

  /// The newest patch, encoded or not.
  patch shown() {
    const auto all = ask<std::vector<patch>>(broadcaster_, list_atom::value);
    return all->empty() ? patch{} : all->front();
  }
  /// The newest patch, once it is encoded.
  std::shared_ptr<std::optional<patch>> encoded() { return later<patch>(broadcaster_, patch_atom::value, region_key{}); }
  template <class R, class Handle, class... Ts>
  std::optional<R> ask(const Handle& whom, Ts... xs) {
    const auto out = later<R>(whom, xs...);
    return *out;
  }
  /// Asks; the answer is there when it is.
  template <class R, class Handle, class... Ts>
  std::shared_ptr<std::optional<R>> later(const Handle& whom, Ts... xs) {
    auto out = std::make_shared<std::optional<R>>();
    system_.spawn<script_actor>([out, whom, xs...](caf::event_based_actor* self) {
      self->request(whom, 60min, xs...).then([out](R& answer) { *out = std::move(answer); }, [](caf::error&) {});
      return caf::behavior{};
    });
    scheduler().run();
    return out;
  }
  [[nodiscard]] const mesher_setup& mesher() const { return mesher_; }
  [[nodiscard]] const telemetry& numbers() const { return *context.numbers; }

  std::shared_ptr<desk> shared = std::make_shared<desk>();
  actor_context context;
  bool encoder_fails = false;
  std::shared_ptr<encoder_pool> encoders = std::make_shared<encoder_pool>(
    [this](const region_mesh& surface, uint64_t keyframe_ns, uint64_t received_ns) {
      if (encoder_fails)
        throw std::runtime_error("no room for a corner table");
      return encode(surface, keyframe_ns, received_ns);
    },
    0, context, 1);

private:
  caf::scheduler::test_coordinator& scheduler() { return dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler()); }

  deterministic_config config_;
  caf::actor_system system_{config_};
  played_actor device_;
  broadcaster_actor broadcaster_;
  mesher_setup mesher_;
  caf::actor viewer_;
  bool watched_;
};

} // namespace

TEST_CASE("many keyframes in a row cost few meshes, and the last is shown") {
  played_region region;
  for (uint64_t i = 1; i <= 100; ++i)
    region.change(i);
  CHECK(region.shared->extractions == 1);
  region.finish();
  CHECK(region.encode_one());
  CHECK(region.shown().keyframe_ns == 1); // what it was told of when it asked
  CHECK(region.shown().frame);
  region.finish();
  CHECK(region.encode_one());
  CHECK(region.shown().keyframe_ns == 100);
  CHECK(region.shared->under_way.empty());
  CHECK(region.context.numbers->patches == 2);
}

TEST_CASE("a surface that an earlier process told comes under its version, once all is there") {
  mesh known;
  known.positions = {1, 0, 0, 1, 0, 0, 0, 1, 0}; // the first that is extracted
  known.normals.resize(9);
  known.colours.resize(9);
  known.keys = {1, 2, 3};
  known.indices = {0, 1, 2};
  const uint64_t version = uint64_t{9} << 32 | 17, base = uint64_t{10} << 32;
  const auto is_same = GENERATE(true, false);
  played_region region{0, true, told_surface{version, is_same ? digest_of(known) : mesh_digest{1, 2}}};
  region.change(5);
  CHECK(region.shared->extractions == 0); // half a region is none that a viewer has
  region.refill(false);
  region.finish();
  CHECK(region.shown().version == (is_same ? version : base + 1));
  CHECK(region.encode_one());
  CHECK(region.shown().frame);
  region.change(6);
  region.finish();
  CHECK(region.shown().version == base + (is_same ? 1 : 2));
  CHECK(region.encode_one());
}

TEST_CASE("while a surface is encoded changes go on, and the next surface is made when that is done") {
  played_region region;
  region.change(10);
  region.finish();
  CHECK(region.shared->extractions == 1);
  CHECK(region.numbers().encodes_waiting == 1);
  for (const uint64_t keyframe_ns : {20, 30})
    region.change(keyframe_ns);
  CHECK(region.shared->extractions == 1);
  CHECK(region.numbers().encodes_waiting == 1);
  CHECK(region.numbers().patches == 0);
  const auto status = region.ask<region_status>(region.mesher(), status_atom::value);
  REQUIRE(status);
  CHECK(status->version == 1); // of the newest surface, though nobody is shown it yet
  CHECK(status->triangles == 1);
  CHECK(status->patch_bytes == 0);
  CHECK(status->keyframe_ns == 30); // of the map

  CHECK(region.encode_one());
  const auto first = region.shown();
  CHECK(first.version == 1);
  CHECK(first.keyframe_ns == 10); // of what it shows, not of what came meanwhile
  CHECK(first.received_ns == 10);
  CHECK(first.triangles == 1);
  CHECK(region.shared->extractions == 2);
  region.finish();
  const auto between = region.ask<region_status>(region.mesher(), status_atom::value);
  REQUIRE(between);
  CHECK(between->version == 2); // while it is encoded
  CHECK(between->patch_bytes == first.frame->size());

  CHECK(region.encode_one());
  CHECK(region.shown().version == 2);
  CHECK(region.shown().keyframe_ns == 30);
  CHECK_FALSE(region.encode_one());
  CHECK(region.shared->extractions == 2); // two keyframes in a row cost one mesh
  CHECK(region.numbers().encode_time.count() == 2);
  CHECK(region.numbers().encode_wait_time.count() == 2);
}

TEST_CASE("a surface for which there is no memory is asked for again after a pause") {
  played_region region;
  region.shared->no_memory = true;
  region.change(10);
  region.finish();
  CHECK(region.shared->under_way.empty());
  region.shared->no_memory = false;
  region.pass(1s);
  region.finish();
  CHECK(region.encode_one());
  CHECK(region.shown().keyframe_ns == 10);
}

TEST_CASE("a surface that nobody wants is not encoded, and made once a second") {
  played_region region{0, false};
  region.change(10);
  region.finish();
  CHECK_FALSE(region.encode_one());
  CHECK(region.shown().version == 1);
  CHECK(region.shown().triangles == 1); // of the map, for whoever asks
  CHECK_FALSE(region.shown().frame);
  const auto says_changed = [&] {
    const auto all = region.context.registry->statuses();
    return std::any_of(all.begin(), all.end(), [](const auto& a) { return a.detail.ends_with("changed since"); });
  };
  CHECK_FALSE(says_changed());
  region.change(20);
  region.change(30);
  CHECK(says_changed());
  CHECK(region.shared->under_way.empty());
  region.pass(999ms);
  CHECK(region.shared->under_way.empty());
  region.pass(1ms);
  region.finish();
  CHECK(region.shown().version == 2);
  CHECK_FALSE(says_changed());
  CHECK_FALSE(region.encode_one());
  CHECK(region.numbers().patches == 0);

  region.change(40);
  region.pass(20ms);
  region.begin_watching(); // sees what is there, as of now
  region.finish();
  CHECK(region.encode_one());
  CHECK(region.shown().frame);
  CHECK(region.shown().keyframe_ns == 40);
  region.change(50); // at once, as long as it is taken
  region.finish();
  CHECK(region.encode_one());
  region.stop_watching();
  region.change(60); // another, since the last was taken; then none
  region.finish();
  CHECK_FALSE(region.encode_one());
  region.change(70);
  CHECK(region.shared->under_way.empty());
}

TEST_CASE("a surface that is wanted late is made again, under its version, and encoded once for all who want it") {
  played_region region{0, false};
  region.shared->same_surface = true;
  region.change(10);
  region.finish();
  region.pass(2s);
  CHECK(region.shared->under_way.empty());
  const auto first = region.encoded(), second = region.encoded();
  CHECK_FALSE(first->has_value());
  region.finish();
  CHECK(region.encode_one());
  for (const auto& one : {first, second}) {
    REQUIRE(one->has_value());
    CHECK((*one)->version == 1);
    CHECK((*one)->frame);
  }
  CHECK_FALSE(region.encode_one());
  CHECK(*region.encoded()); // without asking the mesher
  CHECK(region.shared->extractions == 2);
}

TEST_CASE("what the broadcaster may have forgotten, since very many forms were made, is made again") {
  played_region region{0, false};
  region.shared->same_surface = true;
  region.change(10);
  region.finish();
  const auto want = [&](uint64_t from, uint64_t to) {
    for (auto base = from; base <= to; ++base)
      caf::anon_send(region.mesher(), want_atom::value, uint64_t{1}, patch_form{true, base});
    region.pass(0ms);
  };
  const auto made = [&] {
    if (!region.shared->under_way.empty())
      region.finish();
    return region.encode_one();
  };
  want(1, 1);
  CHECK(made());
  want(1, 1);
  CHECK_FALSE(made()); // it was
  want(2, 20);
  CHECK(made());
  while (made()) {
  }
  want(1, 1);
  CHECK(made());
}

TEST_CASE("who waits for a surface is told that its region is empty now") {
  played_region region{0, false};
  region.change(10);
  region.finish();
  region.pass(2s);
  const auto asked = region.encoded();
  region.leave();
  region.change(20);
  region.finish();
  REQUIRE(asked->has_value());
  CHECK((*asked)->triangles == 0);
  CHECK_FALSE(region.encode_one());
}

TEST_CASE("a surface that cannot be encoded is counted and told, and tried again after a pause, also if nothing is new") {
  played_region region;
  region.shared->same_surface = true;
  region.encoder_fails = true;
  region.change(10);
  region.finish();
  CHECK(region.encode_one());
  CHECK(region.numbers().patches == 0);
  CHECK(region.numbers().handler_errors == 1);
  CHECK(region.numbers().encode_time.count() == 0);
  bool found = false;
  for (const auto& one : region.context.registry->statuses())
    found = found || (one.role == "mesher" && one.state == "idle" && one.last_error.find("corner table") != std::string::npos);
  CHECK(found);
  CHECK_FALSE(region.encode_one()); // not again and again

  region.encoder_fails = false;
  region.change(20);
  const auto asked = region.encoded();
  CHECK(region.shared->under_way.empty());
  region.pass(1s);
  region.finish();
  CHECK(region.encode_one());
  CHECK(asked->has_value());
  CHECK(region.numbers().patches == 1);
  CHECK(region.shown().keyframe_ns == 20);
  region.change(30);
  region.finish();
  CHECK_FALSE(region.encode_one()); // the same surface is shown already
  CHECK(region.shown().keyframe_ns == 20);
}

TEST_CASE("a failure while newer changes came is made good at once") {
  played_region region;
  region.encoder_fails = true;
  region.change(10);
  region.finish();
  region.change(20);
  CHECK(region.encode_one());
  region.encoder_fails = false;
  region.finish();
  CHECK(region.encode_one());
  CHECK(region.shown().keyframe_ns == 20);
  CHECK(region.shown().version == 2);
}

TEST_CASE("a region that is being filled again is not shown, nor what was meshed of it meanwhile") {
  played_region region;
  region.change(10);
  region.finish();
  CHECK(region.encode_one());
  region.change(20);
  region.refill(true); // while it is meshed
  region.finish();
  CHECK_FALSE(region.encode_one());
  region.change(30);
  CHECK(region.shared->under_way.empty());
  CHECK(region.shown().keyframe_ns == 10);
  region.refill(false);
  region.finish();
  CHECK(region.encode_one());
  CHECK(region.shown().keyframe_ns == 30);

  played_region successor{1}; // of one that died
  successor.shared->same_surface = true;
  successor.change(5);
  CHECK(successor.shared->under_way.empty());
  successor.refill(false);
  successor.finish();
  CHECK(successor.encode_one());
}

TEST_CASE("a broadcaster's successor is given the surface again, newer than the one that was being encoded") {
  played_region region;
  region.change(10);
  region.finish();
  region.replace_broadcaster();
  CHECK(region.encode_one());
  CHECK(region.shown().version == 1);
  region.finish();
  CHECK(region.encode_one());
  CHECK(region.shown().version > 2); // 2: under which a viewer of 1 may have been told that the region is gone
}

TEST_CASE("a mesher that dies while its surface is encoded has said its last") {
  played_region region;
  region.change(10);
  region.finish();
  region.kill();
  CHECK(region.encode_one()); // nobody takes the answer
  CHECK(region.numbers().patches == 0);
}

TEST_CASE("a mesher that may end first has viewers told of what it did") {
  played_region idle;
  idle.leave();
  CHECK_FALSE(idle.up());

  played_region r;
  r.change(1);
  r.finish();
  CHECK(r.encode_one());
  CHECK(r.shown().triangles == 1);
  r.change(2);
  r.leave();
  CHECK(r.up()); // it is being meshed
  r.finish();    // with a keyframe that came after all: the next mesher shows it
  CHECK_FALSE(r.encode_one());
  CHECK(r.shown().triangles == 0);
  CHECK_FALSE(r.up());
}
