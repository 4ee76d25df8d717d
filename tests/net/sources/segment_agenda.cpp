#include "net/sources/shm/segment_agenda.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

using namespace tessera;
using std::chrono::seconds;

namespace {

/// Takes out all that are due then, in their order.
std::vector<std::string> take_all(segment_agenda& agenda, segment_agenda::clock::time_point now) {
  std::vector<std::string> out;
  while (agenda.first(now) != nullptr)
    out.push_back(agenda.take_first().first);
  return out;
}

} // namespace

TEST_CASE("segments are looked at in the order in which they came") {
  segment_agenda agenda;
  const auto now = segment_agenda::clock::now();
  for (const char* name : {"c", "a", "b", "a"})
    agenda.note(name, true);
  CHECK(agenda.next_due() < now);
  CHECK(take_all(agenda, now) == std::vector<std::string>{"c", "a", "b"});
  CHECK_FALSE(agenda.next_due());
}

TEST_CASE("what is to be looked at again keeps its place, and is not due before its time") {
  segment_agenda agenda;
  const auto now = segment_agenda::clock::now();
  agenda.note("a", true);
  agenda.note("b", true);
  const auto [name, what] = agenda.take_first();
  agenda.put_back(name, what, now + seconds(5));
  CHECK(take_all(agenda, now) == std::vector<std::string>{"b"});
  CHECK(agenda.next_due() == now + seconds(5));
  agenda.note("c", true);
  CHECK(take_all(agenda, now + seconds(5)) == std::vector<std::string>{"a", "c"});
}

TEST_CASE("what was noted meanwhile holds when a segment comes back") {
  segment_agenda agenda;
  const auto now = segment_agenda::clock::now();
  agenda.note("a", true).written = true;
  auto [name, what] = agenda.take_first();
  agenda.note("b", true);
  agenda.note("a", false);
  agenda.put_back(name, what, now + seconds(5));
  REQUIRE(agenda.find("a") != nullptr);
  CHECK_FALSE(agenda.find("a")->closed);
  CHECK(agenda.find("a")->written);
  CHECK(take_all(agenda, now) == std::vector<std::string>{"b", "a"});
}

TEST_CASE("what is put off waits, until it is noted or hurried") {
  segment_agenda agenda;
  const auto now = segment_agenda::clock::now();
  for (const char* name : {"a", "b", "c", "d"}) {
    agenda.note(name, true);
    agenda.put_off(name, now + seconds(5));
  }
  CHECK(agenda.first(now) == nullptr);
  agenda.note("c", true);
  agenda.hurry("b");
  agenda.hurry("unknown");
  agenda.erase("d");
  CHECK(take_all(agenda, now) == std::vector<std::string>{"b", "c"});
  CHECK(take_all(agenda, now + seconds(6)) == std::vector<std::string>{"a"});
}
