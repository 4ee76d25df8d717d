// What is done with leaves nothing behind.

#include "toy_service.hpp"

#include <caf/detail/test_actor_clock.hpp>
#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::toy;

TEST_CASE("a request that was answered leaves no timeout in the clock") {
  auto by = std::make_shared<control>();
  stepped_service s{config_for(by), by};
  for (const auto& frame : random_frames(1, 8))
    s.put(frame);
  s.run();
  REQUIRE(s.running.context.numbers->accepted == 8);
  const auto& clock = dynamic_cast<caf::detail::test_actor_clock&>(s.system.clock());
  CHECK(clock.schedule().size() <= 8); // the test's own requests
}
