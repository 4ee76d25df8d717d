#include "net/sinks/body_budget.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using boost::asio::ip::make_address;

TEST_CASE("One client has half of what bodies may take, and others the rest") {
  body_budget budget{100};
  const auto a = make_address("10.0.0.1"), b = make_address("10.0.0.2"), c = make_address("10.0.0.3");
  {
    body_share first{budget, a}, second{budget, a}, other{budget, b}, third{budget, c};
    CHECK(first.take(30));
    CHECK_FALSE(second.take(21));
    CHECK(second.take(20));
    CHECK_FALSE(first.take(1));
    CHECK(other.take(50));
    CHECK_FALSE(third.take(1));
    CHECK(budget.held() == 100);
    second.release();
    CHECK(third.take(20));
    CHECK(budget.held() == 100);
  }
  CHECK(budget.held() == 0);
}

TEST_CASE("A network of IPv6 is one client, and so is an address of IPv4 in either form") {
  body_budget budget{100};
  CHECK(budget.take(make_address("2001:db8::1"), 50));
  CHECK_FALSE(budget.take(make_address("2001:db8::2"), 1));
  CHECK(budget.take(make_address("2001:db8:0:1::1"), 10));
  CHECK(budget.take(make_address("::ffff:10.0.0.1"), 30));
  CHECK_FALSE(budget.take(make_address("10.0.0.1"), 21));
}
