// Regions and what they lack, without any actor.

#include "actors/map/refill_book.hpp"
#include "actors/map/region_book.hpp"

#include <catch2/catch.hpp>

#include <map>

using namespace tessera;

namespace {

const region_key a{0, 0, 0}, b{1, 0, 0}, c{2, 0, 0};
const auto any = [](uint64_t) { return true; };

} // namespace

TEST_CASE("a region that holds nothing is emptied, unless something comes into it again") {
  region_book<int> regions;
  regions.insert({a, b}, 1);
  regions.insert({a}, 2);
  CHECK(regions.remove({a, b}, 1) == std::vector{b});
  CHECK(regions.find(a)->insertions == std::vector<uint64_t>{2});
  CHECK(regions.any_emptied());
  regions.insert({b}, 3);
  CHECK_FALSE(regions.any_emptied());
  CHECK(regions.remove({a}, 2) == std::vector{a});
  CHECK(regions.take_emptied() == std::set{a});
  CHECK_FALSE(regions.any_emptied());
}

TEST_CASE("a region is forgotten if it idles since it was noted last") {
  region_book<int> regions;
  const region_book<int>::time_point start{}, later = start + std::chrono::seconds{1};
  regions.insert({a, b}, 1);
  CHECK_FALSE(regions.find(a)->idles());
  regions.remove({a, b}, 1);
  CHECK(regions.find(a)->idles());
  regions[b].asked = true;
  CHECK_FALSE(regions.find(b)->idles()); // its mesher comes
  regions[b].mesher = 7;
  CHECK(regions.find(b)->idles());
  regions[b].down = true;
  CHECK_FALSE(regions.find(b)->idles()); // its successor comes
  regions[b].down = false;

  regions.note_idle(a, start);
  regions.note_idle(b, start);
  regions.note_idle(b, later);
  const auto over = regions.idle_until(start);
  REQUIRE(over.size() == 2);
  CHECK(regions.still_idle(over[0]) == regions.find(a));
  CHECK(regions.still_idle(over[1]) == nullptr);
  regions.insert({a}, 2);
  CHECK(regions.still_idle(over[0]) == nullptr);
  CHECK(regions.next_idle()->since == later);
  CHECK(regions.still_idle(*regions.next_idle()) == regions.find(b));
  regions.erase(b);
  CHECK(regions.still_idle(*regions.next_idle()) == nullptr);
  CHECK(regions.idle_until(later).size() == 1);
  CHECK(regions.next_idle() == nullptr);
}

TEST_CASE("a mesher that is to come is told of the newest keyframe") {
  region_book<int> regions;
  CHECK(regions.touch(a, 200, 20).dirty);
  regions.touch(a, 100, 10);
  CHECK(regions.touch(a, 0, 0).keyframe_ns == 200); // one went
  CHECK(regions.find(a)->received_ns == 20);
}

TEST_CASE("an answer of a mesher that has a successor is not its region's") {
  region_book<int> regions;
  regions[a].mesher = 1;
  regions[a].questions = 2;
  CHECK(regions.question_done(a, 1) == regions.find(a));
  CHECK(regions.find(a)->questions == 1);
  regions[a].mesher = 2;
  CHECK(regions.question_done(a, 1) == nullptr);
  CHECK(regions.question_done(b, 1) == nullptr);
  CHECK(regions.find(a)->questions == 1);
}

TEST_CASE("a refill sends each part once, to all regions that wait for it, and none that was taken out meanwhile") {
  refill_book book;
  book.start(a, {1, 2, 3});
  book.start(b, {2, 4});
  CHECK(book.cancel(a, 3));
  CHECK_FALSE(book.cancel(a, 3));
  CHECK_FALSE(book.cancel(b, 1));
  std::map<uint64_t, size_t> sent;
  const std::vector both{a, b};
  CHECK(book.read_next([](uint64_t serial) { return serial == 4; }) == 4);
  CHECK_FALSE(book.read_next([](uint64_t serial) { return serial == 5; }));
  book.read(4);
  const auto four = book.take(4, both);
  CHECK(four.regions == std::vector{b});
  CHECK(book.take(4, both).regions.empty());
  book.taken(four, false); // there was no memory
  while (const auto serial = book.read_next(any)) {
    book.read(*serial);
    const auto part = book.take(*serial, both);
    sent[*serial] += part.regions.size();
    book.taken(part, true);
  }
  CHECK(sent == std::map<uint64_t, size_t>{{1, 1}, {2, 2}, {4, 1}});
  CHECK(book.complete(a));
  book.finish(a);
  CHECK_FALSE(book.empty());
  book.finish(b);
  CHECK(book.empty());
}

TEST_CASE("a region that waits for its snapshot is filled by that alone, and what is left is counted once") {
  refill_book book;
  book.start(a, {1, 2, 3});
  book.start(b, {2, 4});
  CHECK(book.insertions() == 4);
  book.hold(a);
  CHECK(book.read_next(any) == 2);
  CHECK(book.read_next(any) == 4);
  CHECK_FALSE(book.read_next(any));
  book.read(2);
  const auto two = book.take(2, {a, b});
  CHECK(two.regions == std::vector{b});
  CHECK_FALSE(book.take_all(a, {1, 5}, any));
  CHECK_FALSE(book.take_all(a, {1, 2}, [](uint64_t serial) { return serial != 2; }));
  CHECK(book.take_all(a, {1, 2}, any));
  CHECK(book.being_taken(1));
  CHECK_FALSE(book.cancel(a, 1));   // it is on its way
  book.all_taken(a, {1, 2}, false); // there was no room
  book.taken(two, true);
  CHECK(book.insertions() == 4); // 2 is lacking in the other region
  CHECK(book.take_all(a, {1, 2}, any));
  book.all_taken(a, {1, 2}, true);
  CHECK(book.insertions() == 2);
  CHECK_FALSE(book.read_next(any));
  book.release(a);
  CHECK(book.read_next(any) == 3);
  CHECK(book.cancel(a, 3));
  CHECK(book.complete(a));
  book.start(b, {4, 9});
  CHECK(book.insertions() == 2);
  book.start(b, {});
  CHECK(book.insertions() == 0);
}

TEST_CASE("regions are filled in the order that is preferred, whatever is entered after that") {
  refill_book book;
  book.start(a, {1});
  book.start(b, {2});
  book.start(c, {3});
  book.prefer({c, b});
  CHECK(book.read_next(any) == 3);
  book.start(c, {3, 4});
  CHECK(book.read_next(any) == 4);
  book.prefer({a, b});
  CHECK(book.read_next(any) == 1);
  CHECK(book.read_next(any) == 2);
  CHECK_FALSE(book.read_next(any));
}

TEST_CASE("a region has all when nothing is lacking, and nothing on its way") {
  refill_book book;
  CHECK_FALSE(book.complete(a)); // it is not being refilled
  book.start(a, {1, 2});
  CHECK(book.read_next(any) == 1);
  CHECK(book.read_next(any) == 2); // each is read once
  CHECK_FALSE(book.read_next(any));
  CHECK(book.under_way() == 2);
  book.read(1);
  book.read(2);
  const auto one = book.take(1, {a}), two = book.take(2, {a});
  CHECK(book.under_way() == 2);
  CHECK_FALSE(book.complete(a));
  book.taken(one, true);
  CHECK_FALSE(book.being_taken(1));
  CHECK(book.being_taken(2));
  CHECK_FALSE(book.complete(a));
  book.taken(two, true);
  CHECK(book.complete(a));
  CHECK(book.active(a));
  CHECK(book.under_way() == 0);
  book.start(b, {}); // nothing to get
  CHECK(book.complete(b));
}
