#include "net/sources/frame_order.hpp"

#include "net/base/pace.hpp"
#include "net/sources/ordered_prefetch.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <stdexcept>

using namespace tessera;

namespace {

std::vector<uint64_t> all(frame_order order) {
  std::vector<uint64_t> out;
  while (auto i = order.next())
    out.push_back(*i);
  return out;
}

} // namespace

TEST_CASE("every and limit choose frames, and shuffle only orders them") {
  CHECK(all({5, 5, {}}) == std::vector<uint64_t>{0, 1, 2, 3, 4});
  CHECK(all({10, 10, {0, 3, {}}}) == std::vector<uint64_t>{0, 3, 6, 9});
  CHECK(all({10, 10, {2, 3, {}}}) == std::vector<uint64_t>{0, 3});
  CHECK(all({0, 1, {}}).empty());
  CHECK(frame_order(10, 10, {0, 3, {}}).total() == 4u);
  auto mixed = all({100, 100, {40, 2, 7}});
  CHECK(mixed == all({100, 100, {40, 2, 7}}));
  CHECK(mixed != all({100, 100, {40, 2, 8}}));
  auto sorted = mixed;
  std::sort(sorted.begin(), sorted.end());
  CHECK(sorted != mixed);
  CHECK(sorted == all({100, 100, {40, 2, {}}}));
  CHECK_THROWS_AS(frame_order(1, 1, {0, 0, {}}), std::invalid_argument);
}

TEST_CASE("an endless sequence is shuffled in stretches") {
  frame_order order({}, 10, {0, 1, 3});
  CHECK_FALSE(order.total());
  for (uint64_t stretch = 0; stretch < 3; ++stretch) {
    std::vector<uint64_t> part;
    for (int i = 0; i < 10; ++i)
      part.push_back(*order.next());
    std::sort(part.begin(), part.end());
    CHECK(part.front() == 10 * stretch);
    CHECK(part.back() == 10 * stretch + 9);
  }
}

TEST_CASE("what is made ahead comes out in order, errors in their place") {
  for (uint32_t threads : {0u, 1u, 4u}) {
    int next = 0;
    ordered_prefetch<int, int> items(
      threads, [&]() -> std::optional<int> { return next < 100 ? std::optional(next++) : std::nullopt; },
      [](const int& i) {
        if (i == 50)
          throw std::runtime_error("fifty");
        if (i % 3 == 0)
          std::this_thread::yield();
        return i * i;
      });
    for (int i = 0; i < 100; ++i) {
      if (i == 50)
        CHECK_THROWS_WITH(items.next(), "fifty");
      else
        CHECK(items.next() == i * i);
    }
    CHECK_FALSE(items.next());
    CHECK_FALSE(items.next());
  }
}

TEST_CASE("leaving before the end stops the threads, and little is made ahead") {
  std::atomic<int> made = 0;
  {
    ordered_prefetch<int, int> items(
      2, [&] { return std::optional(1); }, [&](const int& i) { return ++made, i; });
    CHECK(items.next() == 1);
  }
  CHECK(made <= 1 + 4);
}

TEST_CASE("a pace ends its waiting when asked to stop") {
  std::stop_source stop;
  pace slow(0.001);
  CHECK(slow.wait(stop.get_token()));
  stop.request_stop();
  CHECK_FALSE(slow.wait(stop.get_token()));
  CHECK_THROWS_AS(pace(-1), std::invalid_argument);
}
