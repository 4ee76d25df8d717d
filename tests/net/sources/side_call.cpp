#include "net/base/side_call.hpp"

#include <catch2/catch.hpp>

#include <semaphore>
#include <stdexcept>

using namespace tessera;

TEST_CASE("a side call gives what its work returned, or threw") {
  side_call<int> good([](const std::stop_token&) { return 7; });
  while (!good.wait_for(std::chrono::milliseconds(100), {}))
    ;
  CHECK(good.take() == 7);
  side_call<int> bad([](const std::stop_token&) -> int { throw std::runtime_error("no"); });
  while (!bad.wait_for(std::chrono::milliseconds(100), {}))
    ;
  CHECK_THROWS_WITH(bad.take(), "no");
}

TEST_CASE("a side call that nobody waits for any longer is left behind, and told so") {
  auto told = std::make_shared<std::binary_semaphore>(0), ended = std::make_shared<std::binary_semaphore>(0);
  std::stop_source stop;
  stop.request_stop();
  {
    side_call<int> endless([=](const std::stop_token& given_up) {
      std::stop_callback tell(given_up, [=] { told->release(); });
      told->acquire();
      ended->release();
      return 0;
    });
    CHECK_FALSE(endless.wait_for(std::chrono::hours(1), stop.get_token()));
  }
  ended->acquire(); // by itself
}
