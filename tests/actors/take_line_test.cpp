// The line of takes and its quiet moments, without any actor.

#include "actors/map/take_line.hpp"

#include <catch2/catch.hpp>

using namespace tessera;

TEST_CASE("takes are begun in their order, one that comes again first") {
  take_line<int> takes;
  takes.add(1);
  takes.add(2);
  CHECK(takes.next() == 1);
  takes.add_first(1);
  CHECK(takes.next() == 1);
  CHECK(takes.next() == 2);
  CHECK_FALSE(takes.next());
}

TEST_CASE("nothing is begun while a quiet moment is waited for") {
  take_line<int> takes;
  int done = 0;
  takes.begin();
  takes.add(1);
  takes.when_quiet([&] { ++done; });
  CHECK_FALSE(takes.next());
  CHECK_FALSE(takes.quiet());
  takes.end();
  CHECK(takes.quiet());
  for (const auto& act : takes.acts())
    act();
  CHECK(done == 1);
  CHECK(takes.acts().empty());
  CHECK(takes.next() == 1);
}

TEST_CASE("there is more to do than one take when another is under way, or waits") {
  take_line<int> takes;
  takes.begin();
  CHECK_FALSE(takes.pressed());
  takes.add(1);
  CHECK(takes.pressed());
  CHECK(takes.next() == 1);
  CHECK_FALSE(takes.pressed());
  takes.begin();
  CHECK(takes.pressed());
  CHECK(takes.under_way() == 2);
}

TEST_CASE("takes that do not go to other devices leave the line, and the others keep their order") {
  take_line<int> takes;
  for (const auto t : {1, 2, 3, 4})
    takes.add(t);
  CHECK(takes.take_out([](int t) { return t % 2 == 0; }) == std::vector{2, 4});
  CHECK(takes.next() == 1);
  CHECK(takes.next() == 3);
}
