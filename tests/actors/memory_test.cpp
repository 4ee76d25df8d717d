// What is done with leaves nothing behind.

#include "actors/base/instrumented.hpp"
#include "toy_service.hpp"

#include <caf/detail/test_actor_clock.hpp>
#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::toy;

TEST_CASE("requests that were answered do not pile up in the clock") {
  auto by = std::make_shared<control>();
  stepped_service s{config_for(by), by};
  for (const auto& frame : random_frames(1, 60))
    s.put(frame);
  s.run();
  REQUIRE(s.running.context.numbers->accepted == 60);
  const auto& clock = dynamic_cast<caf::detail::test_actor_clock&>(s.system.clock());
  const auto few = instrumented<device_actor>::cancelled_at_once;
  CHECK(clock.schedule().size() < 60 + few * s.running.context.registry->existing()); // 60 are the test's own requests
}
