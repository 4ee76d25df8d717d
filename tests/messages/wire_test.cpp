// Every message between two actor systems over a real connection, and what CAF's decoder does with bytes that are not whole.

#include "allocation_watch.hpp"
#include "messages/actors.hpp"
#include "samples.hpp"
#include "tests/support/script_actor.hpp"

#include <caf/binary_deserializer.hpp>
#include <caf/binary_serializer.hpp>
#include <caf/io/all.hpp>

#include <catch2/catch.hpp>

#include <random>

using namespace tessera;
using std::chrono::seconds;

namespace {

struct networked : caf::actor_system_config {
  networked() {
    register_messages(*this);
    load<caf::io::middleman>();
    set("middleman.workers", size_t{0});
    set("scheduler.max-threads", size_t{2});
  }
};

/// Sends back what it gets.
caf::behavior echo() {
  return {
    [](const keyframe_id& x) { return x; },
    [](const region_key& x) { return x; },
    [](const device_id& x) { return x; },
    [](const pose& x) { return x; },
    [](const ray_batch& x) { return x; },
    [](const keyframe& x) { return x; },
    [](const map_input& x) { return x; },
    [](const verdict& x) { return x; },
    [](const map_hash& x) { return x; },
    [](const field_stats& x) { return x; },
    [](const mesh& x) { return x; },
    [](const region_mesh& x) { return x; },
    [](const std::vector<region_mesh>& x) { return x; },
    [](const patch& x) { return x; },
    [](const std::vector<patch>& x) { return x; },
    [](const region_status& x) { return x; },
    [](const std::vector<region_status>& x) { return x; },
    [](const map_status& x) { return x; },
    [](const camera& x) { return x; },
    [](const std::vector<camera>& x) { return x; },
    [](const handler_status& x) { return x; },
    [](const actor_status& x) { return x; },
    [](const std::vector<actor_status>& x) { return x; },
    [](const held_patch& x) { return x; },
    [](const subscribe& x) { return x; },
    [](const view& x) { return x; },
    [](const ack& x) { return x; },
    [](const lost& x) { return x; },
    [](const patch_form& x) { return x; },
    [](const keyframe_selection& x) { return x; },
    [](const correction_entry& x) { return x; },
    [](const correction& x) { return x; },
    [](const keyframes_left& x) { return x; },
    [](const field_plane& x) { return x; },
    [](const region_slice& x) { return x; },
    [](const field_slice& x) { return x; },
  };
}

/// A message's bytes as CAF puts them on the wire.
template <class T>
std::vector<char> encode(caf::actor_system& system, const T& x) {
  std::vector<char> out;
  caf::binary_serializer sink{system, out};
  REQUIRE(!sink(const_cast<T&>(x)));
  return out;
}

} // namespace

TEST_CASE("every message crosses a real connection and comes back as it was") {
  networked here_config, there_config;
  caf::actor_system here{here_config}, there{there_config};
  auto port
    = there.middleman().publish(there.spawn<script_actor>([](caf::event_based_actor*) { return echo(); }), 0, "127.0.0.1");
  REQUIRE(port);
  auto remote = here.middleman().remote_actor("127.0.0.1", *port);
  REQUIRE(remote);
  {
    caf::scoped_actor self{here};
    auto round_trip = [&](const auto& x) {
      using type = std::decay_t<decltype(x)>;
      bool came_back = false;
      self->request(*remote, seconds{120}, x)
        .receive([&](const type& y) { came_back = samples::same(x, y); },
                 [&](const caf::error& err) { UNSCOPED_INFO(describe(err)); });
      CHECK(came_back);
    };
    samples::for_each_message([&](const auto& x) {
      INFO(message_fields<std::decay_t<decltype(x)>>::name);
      round_trip(x);
    });
    round_trip(std::vector<region_mesh>{samples::a_mesh(), {}});
    round_trip(std::vector<patch>{samples::a_patch(), {}});
    round_trip(std::vector<region_status>{samples::a_region(), {}});
    round_trip(std::vector<camera>{{{"a"}, 1, samples::a_pose(), false}, {{"b"}, 2, {}, true}});
    round_trip(std::vector<actor_status>{samples::an_actor(), {}});
    self->send_exit(*remote, caf::exit_reason::user_shutdown);
  }
  remote = caf::actor{};
}

namespace {

ingest_actor::behavior_type remote_ingest(ingest_actor::pointer self, int* offered) {
  return {
    [offered](ingest_atom, const map_input& what) -> caf::result<verdict> {
      const auto* frame = std::get_if<keyframe>(&what);
      if (!frame)
        return verdict{outcome::unknown, {}};
      ++*offered;
      if (!frame->body)
        return caf::make_error(ec::out_of_memory, std::string{"no room"});
      return verdict{};
    },
    [](retract_atom, const keyframe_selection&) { return verdict{}; },
    [](revise_atom, const correction&) { return verdict{}; },
    [self](aside_atom, const std::string&, const std::string&, const std::string&) { self->quit(); },
  };
}

} // namespace

TEST_CASE("a typed actor is used from another system like a local one, errors included") {
  networked here_config, there_config;
  caf::actor_system here{here_config}, there{there_config};
  int offered = 0;
  auto port = there.middleman().publish(there.spawn(remote_ingest, &offered), 0, "127.0.0.1");
  REQUIRE(port);
  CHECK_FALSE(here.middleman().remote_actor<mesher_actor>("127.0.0.1", *port)); // another interface is refused
  auto remote = here.middleman().remote_actor<ingest_actor>("127.0.0.1", *port);
  REQUIRE(remote);
  {
    caf::scoped_actor self{here};
    verdict told{outcome::refused, {}};
    self->request(*remote, seconds{120}, ingest_atom::value, map_input{samples::a_keyframe()})
      .receive([&](const verdict& v) { told = v; }, [](const caf::error&) {});
    CHECK(told.what == outcome::accepted);
    caf::error refusal;
    self->request(*remote, seconds{120}, ingest_atom::value, map_input{})
      .receive([](const verdict&) {}, [&](const caf::error& err) { refusal = err; });
    CHECK(refusal == ec::out_of_memory);
    CHECK(describe(refusal) == "out of memory: no room");
    CHECK(here.render(refusal) == "out of memory: no room");
    self->request(*remote, seconds{120}, ingest_atom::value, map_input{retraction{{"a"}}})
      .receive([&](const verdict& v) { told = v; }, [](const caf::error&) {});
    CHECK(told.what == outcome::unknown);
    self->send(*remote, aside_atom::value, std::string{}, std::string{}, std::string{});
  }
  remote = ingest_actor{};
  there.await_all_actors_done();
  CHECK(offered == 2);
}

TEST_CASE("a message that ends early is an error") {
  caf::actor_system_config config;
  register_messages(config);
  config.set("scheduler.max-threads", size_t{1});
  caf::actor_system system{config};
  samples::for_each_message([&](const auto& x) {
    using type = std::decay_t<decltype(x)>;
    INFO(message_fields<type>::name);
    const auto bytes = encode(system, x);
    for (size_t n = 0; n < bytes.size(); ++n) {
      type y;
      caf::binary_deserializer source{system, bytes.data(), n};
      REQUIRE(source(y));
    }
    type y;
    caf::binary_deserializer source{system, bytes};
    REQUIRE_FALSE(source(y));
    CHECK(samples::same(x, y));
  });
}

TEST_CASE("a message that was changed anywhere is loaded or refused, in little memory") {
  caf::actor_system_config config;
  register_messages(config);
  config.set("scheduler.max-threads", size_t{1});
  caf::actor_system system{config};
  std::mt19937 random{7};
  samples::for_each_message([&](const auto& x) {
    using type = std::decay_t<decltype(x)>;
    INFO(message_fields<type>::name);
    const auto good = encode(system, x);
    if (good.empty())
      return;
    for (int round = 0; round < 300; ++round) {
      auto bytes = good;
      const auto changes = 1 + random() % 4;
      for (size_t i = 0; i < changes; ++i)
        bytes[random() % bytes.size()] = static_cast<char>(random() % 3 == 0 ? 255 : random() % 256);
      allocation_watch watch;
      type y;
      caf::binary_deserializer source{system, bytes};
      (void)source(y);
      REQUIRE(watch.largest() < (4u << 20));
    }
  });
}
