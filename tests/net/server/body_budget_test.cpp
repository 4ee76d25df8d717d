#include "net/server/body_budget.hpp"

#include <catch2/catch.hpp>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

using namespace tessera;
using namespace std::chrono_literals;
using boost::asio::ip::make_address;

namespace {

/// Time that passes when the test says so.
struct watch {
  body_budget::clock::time_point now{};
  [[nodiscard]] std::function<body_budget::clock::time_point()> reading() {
    return [this] { return now; };
  }
};

} // namespace

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
  body_share first{budget, make_address("2001:db8::1")}, same{budget, make_address("2001:db8::2")},
    other{budget, make_address("2001:db8:0:1::1")}, mapped{budget, make_address("::ffff:10.0.0.1")},
    plain{budget, make_address("10.0.0.1")};
  CHECK(first.take(50));
  CHECK_FALSE(same.take(1));
  CHECK(other.take(10));
  CHECK(mapped.take(30));
  CHECK_FALSE(plain.take(21));
}

TEST_CASE("A share moves to another client between two bodies") {
  body_budget budget{100};
  const auto proxy = make_address("10.0.0.1"), a = make_address("10.0.0.2"), b = make_address("10.0.0.3");
  body_share first{budget, proxy}, second{budget, proxy};
  CHECK(first.take(50));
  CHECK_FALSE(second.take(1));
  second.move_to(a);
  CHECK(second.take(50));
  first.move_to(a); // what it held is given back
  CHECK(budget.held() == 50);
  CHECK_FALSE(first.take(1));
  first.move_to(b);
  CHECK(first.take(50));
  first.release();
  second.release();
  CHECK(budget.held() == 0);
}

TEST_CASE("Where there is no room, bodies that come slowly make it, the slowest first") {
  watch time;
  body_budget budget{100, {1s, 1'000}, time.reading()};
  const auto a = make_address("10.0.0.1"), b = make_address("10.0.0.2");
  std::vector<std::string> told;
  body_share slowest{budget, a}, slow{budget, a}, fast{budget, a}, here{budget, a}, elsewhere{budget, b}, next{budget, a};
  const auto begin = [&](body_share& one, const char* name, uint64_t came) {
    one.begin([&told, name] { told.emplace_back(name); });
    one.came(came);
    CHECK(one.take(10));
  };
  begin(slow, "slow", 1);
  begin(slowest, "slowest", 0);
  begin(fast, "fast", 2'000);
  begin(here, "here", 0);
  begin(elsewhere, "elsewhere", 0);
  CHECK(here.whole());
  next.begin([&] { told.emplace_back("next"); });
  CHECK(next.take(10));
  time.now += 1s;
  CHECK(told.empty()); // there was room
  CHECK(next.take(10));
  CHECK(told == std::vector<std::string>{"slowest"});
  CHECK(next.take(10));
  CHECK(told == std::vector<std::string>{"slowest", "slow"});
  CHECK(slow.ended());
  CHECK(slowest.ended());
  CHECK_FALSE(slow.whole());
  CHECK_FALSE(slow.take(1));
  CHECK(budget.held() == 60);
  // Others of this client do not make room: what came whole, what comes fast, and itself; nor do other clients for its half.
  CHECK_FALSE(next.take(20));
  CHECK_FALSE(fast.ended());
  CHECK_FALSE(here.ended());
  CHECK_FALSE(elsewhere.ended());
  CHECK_FALSE(next.ended());
  slow.release();
  slow.begin([] {});
  CHECK_FALSE(slow.ended());
}

TEST_CASE("A body that came fast and stands still makes room, and one that goes on does not") {
  watch time;
  body_budget budget{200, {1s, 1'000}, time.reading()};
  const auto a = make_address("10.0.0.1");
  body_share still{budget, a}, steady{budget, a}, next{budget, a};
  for (auto* one : {&still, &steady}) {
    one->begin([] {});
    CHECK(one->take(50));
    one->came(1'000'000'000);
  }
  uint64_t came = 1'000'000'000;
  for (int i = 0; i < 8; ++i) {
    time.now += 250ms;
    steady.came(came += 500);
  }
  next.begin([] {});
  CHECK(next.take(50));
  CHECK(still.ended());
  CHECK_FALSE(steady.ended());
  // Also when nobody asked and nothing came for long.
  time.now += 100s;
  next.came(1);
  body_share last{budget, a};
  last.begin([] {});
  CHECK(last.take(50));
  CHECK(steady.ended());
  CHECK_FALSE(last.ended());
}

TEST_CASE("Where all have no room, slow bodies of any client make it") {
  watch time;
  body_budget budget{100, {1s, 1'000}, time.reading()};
  body_share first{budget, make_address("10.0.0.1")}, second{budget, make_address("10.0.0.2")},
    third{budget, make_address("10.0.0.3")};
  int told = 0;
  for (auto* one : {&first, &second}) {
    one->begin([&] { ++told; });
    CHECK(one->take(50));
  }
  time.now += 1s;
  third.begin([] {});
  CHECK(third.take(50));
  CHECK(told == 1);
  CHECK(budget.held() == 100);
}

TEST_CASE("Bodies that just began make no room") {
  watch time;
  body_budget budget{100, {1s, 1'000'000}, time.reading()};
  body_share first{budget, make_address("10.0.0.1")}, second{budget, make_address("10.0.0.1")};
  first.begin([] {});
  CHECK(first.take(50));
  time.now += 999ms;
  second.begin([] {});
  CHECK_FALSE(second.take(1));
  CHECK_FALSE(first.ended());
}
