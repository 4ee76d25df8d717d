#include "actors/intake/input_queue.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace tessera;

namespace {

using queue = input_queue<std::string>;

map_input coming(const std::string& id) {
  keyframe frame;
  frame.id.value = id;
  return frame;
}

map_input going(const std::string& id) {
  return retraction{{id}};
}

std::string id_in(const map_request& what) {
  const auto* input = std::get_if<map_input>(&what);
  return input ? id_of(*input).value : "all";
}

/// Gives all whose turn it is; their ids, and their numbers.
std::string give(queue& q, std::vector<uint64_t>& numbers) {
  std::string ids;
  while (const auto next = q.next()) {
    ids += id_in(next->what);
    numbers.push_back(next->number);
  }
  return ids;
}

std::string told(queue& q, uint64_t number, verdict v = {}) {
  return q.answered(number, v).value_or("nobody");
}

} // namespace

TEST_CASE("an input is given in its turn while there is credit, and answered once") {
  queue q{2};
  std::vector<uint64_t> numbers;
  CHECK_FALSE(q.next());
  for (const std::string id : {"a", "b", "c"})
    q.add(coming(id), "to " + id);
  q.add(keyframe_selection{}, "to all");
  CHECK(give(q, numbers) == "ab");
  CHECK(q.under_way() == 2);
  CHECK(q.waiting() == 2);
  CHECK(told(q, numbers[1]) == "to b");
  CHECK(told(q, numbers[1]) == "nobody");
  CHECK(give(q, numbers) == "c");
  CHECK(q.awaits(numbers[0]));
  CHECK(told(q, numbers[0]) == "to a");
  CHECK(told(q, numbers[2]) == "to c");
  CHECK(give(q, numbers) == "all");
  CHECK(told(q, numbers[3]) == "to all");
  CHECK(q.under_way() + q.waiting() == 0);
}

TEST_CASE("a successor gets what was not answered first, in its order, and old answers count no more") {
  queue q{3};
  std::vector<uint64_t> numbers;
  for (const std::string id : {"a", "b", "c", "d"})
    q.add(coming(id), id);
  CHECK(give(q, numbers) == "abc");
  CHECK(told(q, numbers[1]) == "b");
  q.lost();
  q.add(coming("e"), "e");
  CHECK(give(q, numbers).empty());
  CHECK(told(q, numbers[2]) == "c"); // an answer that was on its way
  q.succeeded();
  CHECK_FALSE(q.awaits(numbers[0]));
  CHECK(told(q, numbers[0]) == "nobody");
  std::vector<uint64_t> again;
  CHECK(give(q, again) == "ade");
  q.lost();
  q.succeeded();
  again.clear();
  CHECK(give(q, again) == "ade");
  CHECK(told(q, again[2]) == "e");
  CHECK(q.clear() == std::vector<std::string>{"a", "d"});
}

TEST_CASE("a retraction that finds nothing was done if one that died was asked, and only then") {
  queue q;
  std::vector<uint64_t> numbers;
  q.add(going("asked"), "");
  q.add(revision{{"moved"}, {}}, "");
  give(q, numbers);
  q.lost();
  q.add(going("not asked"), "");
  q.succeeded();
  numbers.clear();
  give(q, numbers);
  const auto unknown_becomes = [&](size_t i) {
    verdict v{outcome::unknown, {}};
    REQUIRE(q.answered(numbers[i], v));
    return v.what;
  };
  CHECK(unknown_becomes(0) == outcome::accepted);
  CHECK(unknown_becomes(1) == outcome::unknown);
  CHECK(unknown_becomes(2) == outcome::unknown);
}

TEST_CASE("only keyframes that wait are let go, the oldest first") {
  queue q{1};
  std::vector<uint64_t> numbers;
  for (const std::string id : {"a", "b", "c", "d"})
    q.add(coming(id), id);
  q.add(going("b"), "going");
  CHECK(give(q, numbers) == "a");
  CHECK(q.drop_oldest(1) == "b");
  CHECK(q.drop_oldest(1) == "c");
  CHECK_FALSE(q.drop_oldest(1));
  CHECK(q.drop_oldest(0) == "d");
  CHECK_FALSE(q.drop_oldest(0));
  CHECK(q.clear() == std::vector<std::string>{"a", "going"});
}
