// One mesher, whose device the test plays: it takes as long as the test says, by the test scheduler's clock.

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
  int extractions = 0;
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
        auto surface = std::make_shared<mesh>(); // another each time
        surface->positions = {static_cast<float>(++desk_->extractions), 0, 0, 1, 0, 0, 0, 1, 0};
        surface->normals.resize(9);
        surface->colours.resize(9);
        surface->keys = {1, 2, 3};
        surface->indices = {0, 1, 2};
        return region_mesh{region, 0, std::move(surface)};
      },
      [](status_atom, region_key) { return field_stats{}; },
      [](drop_atom, region_key) {},
      [this](caf::idle_atom) {
        for (auto& promise : std::exchange(desk_->integrations, {}))
          promise.deliver(caf::unit);
      },
    };
  }

private:
  std::shared_ptr<desk> desk_;
};

/// A region under load: whenever a batch of jobs is done, others wait already.
class loaded_region {
public:
  explicit loaded_region(std::chrono::milliseconds max_staleness) {
    mesher_config config;
    config.max_staleness = max_staleness;
    config.encode = encode;
    device_ = system_.spawn<played_device>(shared);
    broadcaster_ = spawn_broadcaster(system_, context, "test", encode);
    mesher_ = spawn_mesher(system_, context, device_, broadcaster_, std::move(config));
    offer();
  }
  ~loaded_region() {
    for (const auto& a :
         {caf::actor_cast<caf::actor>(mesher_), caf::actor_cast<caf::actor>(device_), caf::actor_cast<caf::actor>(broadcaster_)})
      caf::anon_send_exit(a, caf::exit_reason::user_shutdown);
    mesher_ = nullptr;
    device_ = nullptr;
    broadcaster_ = nullptr;
    scheduler().run();
  }

  /// A batch takes so long, and the next job comes meanwhile.
  void batch(std::chrono::milliseconds takes) {
    offer();
    scheduler().advance_time(takes);
    finish();
  }
  /// The batch under way is done.
  void finish() {
    REQUIRE(shared->integrations.size() == 1); // a mesher asks for one at a time
    caf::anon_send(device_, caf::idle_atom::value);
    scheduler().run();
  }

  std::shared_ptr<desk> shared = std::make_shared<desk>();
  actor_context context;

private:
  caf::scheduler::test_coordinator& scheduler() { return dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler()); }
  void offer() {
    caf::anon_send(mesher_, integrate_atom::value, ray_job{});
    scheduler().run();
  }

  deterministic_config config_;
  caf::actor_system system_{config_};
  played_actor device_;
  broadcaster_actor broadcaster_;
  mesher_setup mesher_;
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
  CHECK(region.shared->extractions == 1);
  CHECK(region.context.numbers->patches == 1);
}
