// One mesher, whose device and encoder the test plays: they take as long as the test says, by the test scheduler's clock.

#include "actors/broadcaster.hpp"
#include "actors/mesher.hpp"
#include "toy_service.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::toy;
using namespace std::chrono_literals;

namespace {

/// What the device was asked for, and how the test lets it be done.
struct desk {
  std::deque<caf::response_promise> integrations; ///< under way
  int extractions = 0, drops = 0;
  bool same_surface = false;
};

/// idle: what is under way is done.
using played_actor = device_actor::extend<caf::reacts_to<caf::idle_atom>>;

class played_device final : public played_actor::base {
public:
  played_device(caf::actor_config& cfg, std::shared_ptr<desk> shared) : played_actor::base(cfg), desk_{std::move(shared)} {}
  void on_exit() override { desk_->integrations.clear(); }
  behavior_type make_behavior() override {
    return {
      [this](integrate_atom, region_key, const std::vector<ray_job>&) {
        auto promise = make_response_promise<caf::typed_response_promise<void>>();
        desk_->integrations.push_back(static_cast<caf::response_promise&>(promise));
        return promise;
      },
      [this](extract_atom, region_key region) {
        auto surface = std::make_shared<mesh>(); // another each time, unless told otherwise
        ++desk_->extractions;
        surface->positions = {desk_->same_surface ? 0 : static_cast<float>(desk_->extractions), 0, 0, 1, 0, 0, 0, 1, 0};
        surface->normals.resize(9);
        surface->colours.resize(9);
        surface->keys = {1, 2, 3};
        surface->indices = {0, 1, 2};
        return region_mesh{region, 0, std::move(surface)};
      },
      [](status_atom, region_key) { return field_stats{}; },
      [this](drop_atom, region_key) { ++desk_->drops; },
      [this](caf::idle_atom) {
        for (auto& promise : std::exchange(desk_->integrations, {}))
          promise.deliver(caf::unit);
      },
    };
  }

private:
  std::shared_ptr<desk> desk_;
};

/// A region whose device and encoder work when the test says so.
class played_region {
public:
  explicit played_region(std::chrono::milliseconds max_staleness) {
    mesher_config config;
    config.max_staleness = max_staleness;
    config.encoders = encoders;
    device_ = system_.spawn<played_device>(shared);
    broadcaster_ = spawn_broadcaster(system_, context, "test", encode);
    mesher_ = spawn_mesher(system_, context, device_, broadcaster_, std::move(config));
  }
  ~played_region() {
    for (const auto& a :
         {caf::actor_cast<caf::actor>(mesher_), caf::actor_cast<caf::actor>(device_), caf::actor_cast<caf::actor>(broadcaster_)})
      caf::anon_send_exit(a, caf::exit_reason::user_shutdown);
    mesher_ = nullptr;
    device_ = nullptr;
    broadcaster_ = nullptr;
    scheduler().run();
  }

  void offer(uint64_t keyframe_ns = 0, int32_t sign = 1) {
    ray_job job;
    job.sign = sign;
    job.keyframe_ns = job.received_ns = keyframe_ns;
    caf::anon_send(mesher_, integrate_atom::value, job);
    scheduler().run();
  }
  void pass(std::chrono::milliseconds time) { scheduler().advance_time(time); }
  /// The batch under way is done.
  void finish() {
    REQUIRE(shared->integrations.size() == 1); // a mesher asks for one at a time
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
    broadcaster_ = spawn_broadcaster(system_, context, "test", encode);
    caf::anon_send(mesher_, caf::put_atom::value, broadcaster_);
    scheduler().run();
  }

  /// The newest patch.
  patch shown() { return *ask<patch>(broadcaster_, patch_atom::value, region_key{}); }
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
};

/// A region under load: whenever a batch of jobs is done, others wait already. What is extracted is encoded at once.
class loaded_region : public played_region {
public:
  explicit loaded_region(std::chrono::milliseconds max_staleness) : played_region{max_staleness} { offer(); }
  /// A batch takes so long, and the next job comes meanwhile.
  void batch(std::chrono::milliseconds takes) {
    offer();
    pass(takes);
    finish();
    encode_one();
  }
};

} // namespace

TEST_CASE("a region that jobs never leave is meshed and published all the same, at most the bound and one batch apart") {
  constexpr auto bound = 100ms, step = 30ms;
  loaded_region region{bound};
  int before = 0;
  auto age = 0ms, oldest = 0ms; // since the first change that no mesh shows
  for (int i = 0; i < 100; ++i) {
    region.batch(step);
    if (region.shared->extractions != before) {
      CHECK(region.shared->extractions == before + 1);
      before = region.shared->extractions;
      oldest = std::max(oldest, age);
      age = 0ms;
    } else {
      age += step;
    }
  }
  CHECK(oldest >= bound - step); // not at every change either: many keyframes in a row cost one mesh
  CHECK(oldest <= bound + step);
  CHECK(before >= 100 * step / (bound + 2 * step));
  CHECK(region.context.numbers->patches == static_cast<uint64_t>(before));
}

TEST_CASE("with a bound that is far off, a region is meshed when no job waits any more") {
  loaded_region region{1h};
  for (int i = 0; i < 100; ++i)
    region.batch(30ms);
  CHECK(region.shared->extractions == 0);
  region.finish();
  CHECK(region.encode_one());
  CHECK(region.shared->extractions == 1);
  CHECK(region.context.numbers->patches == 1);
}

TEST_CASE("a region gives its memory back when the last keyframe is taken out of it, and not before") {
  played_region region{1h};
  for (const auto sign : {1, 1, -1}) {
    region.offer(0, sign);
    region.finish();
  }
  CHECK(region.shared->drops == 0);
  region.offer(0, -1);
  CHECK(region.shared->drops == 0); // it is still under way
  region.finish();
  CHECK(region.shared->drops == 1);
  region.offer();
  region.finish();
  CHECK(region.shared->drops == 1);
}

TEST_CASE("while a surface is encoded jobs go on, and the next surface is made when that is done") {
  played_region region{1h};
  region.offer(10);
  region.finish();
  CHECK(region.shared->extractions == 1);
  CHECK(region.numbers().encodes_waiting == 1);
  for (const uint64_t keyframe_ns : {20, 30}) {
    region.offer(keyframe_ns);
    region.finish(); // and answered: the device was asked at once
  }
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

TEST_CASE("a region that changes all the time is stale when its surface is encoded, and is meshed before the next job") {
  played_region region{100ms};
  region.offer();
  region.finish();
  region.offer(); // under way
  region.offer(); // waits
  region.pass(200ms);
  region.finish();
  CHECK(region.shared->extractions == 1);
  region.offer();
  region.pass(200ms);
  CHECK(region.encode_one());
  region.finish();
  CHECK(region.shared->extractions == 2);
  CHECK(region.encode_one());
}

TEST_CASE("a surface that cannot be encoded is counted and told, and the next change tries again, also if nothing is new") {
  played_region region{1h};
  region.shared->same_surface = true;
  region.encoder_fails = true;
  region.offer(10);
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
  region.offer(20);
  region.finish();
  CHECK(region.encode_one());
  CHECK(region.numbers().patches == 1);
  CHECK(region.shown().keyframe_ns == 20);
  region.offer(30);
  region.finish();
  CHECK_FALSE(region.encode_one()); // the same surface is shown already
  CHECK(region.shown().keyframe_ns == 20);
}

TEST_CASE("a failure while newer jobs were applied is made good at once") {
  played_region region{1h};
  region.encoder_fails = true;
  region.offer(10);
  region.finish();
  region.offer(20);
  region.finish();
  CHECK(region.encode_one());
  region.encoder_fails = false;
  CHECK(region.encode_one());
  CHECK(region.shown().keyframe_ns == 20);
  CHECK(region.shown().version == 2);
}

TEST_CASE("a mesh that is asked for while one is encoded shows all that came before, under the version that viewers get") {
  played_region region{1h};
  region.offer(10);
  region.finish();
  region.offer(20);
  region.finish();
  const auto answer = region.later<region_mesh>(region.mesher(), mesh_atom::value);
  CHECK_FALSE(*answer);
  CHECK(region.encode_one());
  REQUIRE(*answer);
  CHECK((*answer)->version == 2);
  CHECK(region.encode_one());
  CHECK(region.shown().version == 2);
  CHECK(region.shared->extractions == 2);
}

TEST_CASE("a broadcaster's successor is given the surface again, newer than the one that was being encoded") {
  played_region region{1h};
  region.offer(10);
  region.finish();
  region.replace_broadcaster();
  CHECK(region.encode_one());
  CHECK(region.shown().version == 1);
  CHECK(region.encode_one());
  CHECK(region.shown().version > 2); // 2: under which a viewer of 1 may have been told that the region is gone
}

TEST_CASE("a mesher that dies while its surface is encoded has said its last") {
  played_region region{1h};
  region.offer(10);
  region.finish();
  region.kill();
  CHECK(region.encode_one()); // nobody takes the answer
  CHECK(region.numbers().patches == 0);
}

TEST_CASE("a mesher that may end first has viewers told of what it did") {
  played_region idle{0ms};
  idle.leave();
  CHECK_FALSE(idle.up());

  played_region r{0ms};
  r.offer(1);
  r.leave();
  CHECK(r.up()); // a job is under way
  r.finish();
  CHECK(r.up()); // its surface is not encoded
  r.encoder_fails = true;
  CHECK(r.encode_one());
  CHECK(r.up()); // nor now
  CHECK(r.shown().triangles == 0);
  r.encoder_fails = false;
  r.pass(1s);
  CHECK_FALSE(r.encode_one()); // the surface is asked for again
  CHECK(r.encode_one());
  CHECK(r.shown().triangles == 1);
  CHECK_FALSE(r.up());
}
