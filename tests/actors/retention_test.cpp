// Which keyframe has to go when only so many, so old or so large ones are kept; without any actor.

#include "actors/map/retention.hpp"

#include <catch2/catch.hpp>

#include <deque>
#include <random>

using namespace tessera;
using namespace std::chrono_literals;

namespace {

constexpr uint64_t second_ns = 1'000'000'000;

/// Two clocks: one goes on, the other may be set.
struct clocks {
  retention::moment at{std::chrono::steady_clock::time_point{500h}, 1'800'000'000 * second_ns};
  void pass(std::chrono::seconds time) {
    at.now += time;
    at.system_ns += static_cast<uint64_t>(time.count()) * second_ns;
  }
  void set_ahead(std::chrono::seconds by) { at.system_ns += static_cast<uint64_t>(by.count()) * second_ns; }
  void set_back(std::chrono::seconds by) { at.system_ns -= static_cast<uint64_t>(by.count()) * second_ns; }
};

/// Takes out what is due, as the partitioner does; returns the ids.
std::vector<std::string> forgotten(retention& r, const retention::moment& at) {
  std::vector<std::string> out;
  while (const auto id = r.due(at)) {
    r.leave(*id);
    out.push_back(id->value);
    r.erase(*id);
  }
  return out;
}

using names = std::vector<std::string>;

} // namespace

TEST_CASE("of more keyframes than are kept the oldest go, and what comes again is new") {
  clocks c;
  retention r{{.keyframes = 2}, c.at};
  r.enter({"a"}, 1, c.at.now);
  r.enter({"b"}, 1, c.at.now);
  CHECK_FALSE(r.due(c.at));
  CHECK_FALSE(r.next(c.at)); // time changes nothing
  r.enter({"c"}, 1, c.at.now);
  CHECK(forgotten(r, c.at) == names{"a"});
  r.erase({"b"}); // somebody took it out
  r.enter({"a"}, 1, c.at.now);
  CHECK_FALSE(r.due(c.at));
  r.enter({"d"}, 1, c.at.now);
  CHECK(forgotten(r, c.at) == names{"c"});
  r.enter({"a"}, 1, c.at.now); // newer than d now
  r.enter({"e"}, 1, c.at.now);
  CHECK(forgotten(r, c.at) == names{"d"});
}

TEST_CASE("of more bytes of rays than are kept the oldest go, but never the newest") {
  clocks c;
  retention r{{.ray_bytes = 1600}, c.at}; // 100 rays
  r.enter({"a"}, 50, c.at.now);
  r.enter({"b"}, 50, c.at.now);
  CHECK_FALSE(r.due(c.at));
  r.enter({"c"}, 1, c.at.now);
  CHECK(forgotten(r, c.at) == names{"a"});
  r.enter({"large"}, 1000, c.at.now);
  CHECK(forgotten(r, c.at) == names{"b", "c"});
  r.enter({"d"}, 1, c.at.now);
  CHECK(forgotten(r, c.at) == names{"large"});
}

TEST_CASE("what is older than is kept goes when its time has come, whatever the system's clock does") {
  clocks c;
  retention r{{.age = 100s}, c.at};
  r.enter({"a"}, 1, c.at.now);
  c.pass(60s);
  r.enter({"b"}, 1, c.at.now);
  c.set_ahead(1000h);
  CHECK_FALSE(r.due(c.at));
  c.set_back(2000h);
  CHECK_FALSE(r.due(c.at));
  CHECK(r.next(c.at) == c.at.now + 40s + 1ns);
  c.pass(40s);
  CHECK_FALSE(r.due(c.at));
  c.at.now += 1ns;
  CHECK(forgotten(r, c.at) == names{"a"});
  CHECK(r.next(c.at) == c.at.now + 60s);
  c.pass(60s);
  CHECK(forgotten(r, c.at) == names{"b"});
  CHECK_FALSE(r.next(c.at));
}

TEST_CASE("what came before the start is as old as the system's clock tells after a minute") {
  clocks c;
  const auto came = [&](std::chrono::seconds ago) { return c.at.system_ns - static_cast<uint64_t>(ago.count()) * second_ns; };
  retention r{{.age = 1h}, c.at};
  r.expect({{"a"}, {"b"}, {"c"}});
  CHECK_FALSE(r.due(c.at)); // nobody knows how old they are
  CHECK_FALSE(r.next(c.at));
  r.enter_kept({"b"}, 1, came(50min)); // they are read in any order
  r.enter_kept({"a"}, 1, came(10h));
  r.enter_kept({"c"}, 1, came(-10h)); // its clock was ahead
  r.enter({"d"}, 1, c.at.now);
  CHECK_FALSE(r.due(c.at));
  CHECK(r.next(c.at) == c.at.now + 1min);

  SECTION("a clock that is right") {
    c.pass(1min);
    CHECK(forgotten(r, c.at) == names{"a"});
    c.pass(9min + 1s);
    CHECK(forgotten(r, c.at) == names{"b"});
    c.pass(49min);
    CHECK_FALSE(r.due(c.at));
    c.pass(1min);
    CHECK(forgotten(r, c.at) == names{"c", "d"}); // whenever it came, it is here for an hour
  }
  SECTION("one that is ahead later") {
    c.pass(30s);
    c.set_ahead(10h);
    c.pass(1min);
    CHECK(forgotten(r, c.at) == names{"a"});
  }
  SECTION("one that falls back") {
    c.set_back(20h); // it was ahead at the start
    c.pass(1min);
    CHECK_FALSE(r.due(c.at));
    c.pass(59min + 1s);
    CHECK(forgotten(r, c.at) == names{"a", "b", "c", "d"});
  }
}

TEST_CASE("a system clock that is ahead at the start, and right within a minute, costs nothing") {
  clocks c;
  const auto came = c.at.system_ns;
  c.set_ahead(10'000h);
  retention r{{.age = 1h}, c.at};
  r.enter_kept({"a"}, 1, came);
  CHECK_FALSE(r.due(c.at));
  c.pass(59s);
  c.set_back(10'000h);
  c.pass(1s);
  CHECK_FALSE(r.due(c.at));
  c.set_ahead(10'000h); // and again for a moment
  CHECK_FALSE(r.due(c.at));
  c.pass(59min + 1s);
  CHECK(forgotten(r, c.at) == names{"a"});
}

TEST_CASE("ages that no clock can tell are none that go wrong") {
  clocks c;
  c.at.system_ns = ~uint64_t{0};
  retention r{{.age = 1h}, c.at};
  r.enter_kept({"first"}, 1, 0);
  r.enter_kept({"last"}, 1, ~uint64_t{0});
  c.at.now += 1min;
  CHECK(forgotten(r, c.at) == names{"first"});
  c.at.system_ns = 0;
  CHECK_FALSE(r.due(c.at));
}

TEST_CASE("what is expected counts, so that what is beyond need not be taken at all") {
  clocks c;
  retention r{{.keyframes = 3}, c.at};
  r.expect({{"a"}, {"b"}, {"c"}, {"d"}});
  CHECK(r.due(c.at) == keyframe_id{"a"});
  r.enter({"new"}, 1, c.at.now);
  r.erase({"a"});
  CHECK(r.due(c.at) == keyframe_id{"b"});
  r.enter_kept({"b"}, 5, 0); // in its place
  CHECK(r.due(c.at) == keyframe_id{"b"});
  r.erase({"c"}); // it was not there
  CHECK_FALSE(r.due(c.at));
}

TEST_CASE("what is being taken out counts no more, and counts again if it stays") {
  clocks c;
  retention r{{.keyframes = 1}, c.at};
  for (const auto* id : {"a", "b", "c"})
    r.enter({id}, 1, c.at.now);
  r.leave({"a"});
  CHECK(r.leaves({"a"}));
  CHECK(r.due(c.at) == keyframe_id{"b"});
  r.leave({"b"});
  CHECK_FALSE(r.due(c.at));
  r.stay({"a"});
  CHECK_FALSE(r.leaves({"a"}));
  CHECK(r.due(c.at) == keyframe_id{"a"});
  r.enter({"b"}, 1, c.at.now); // taken out, and come anew
  CHECK_FALSE(r.leaves({"b"}));
  CHECK(forgotten(r, c.at) == names{"a", "c"});
  r.stay({"never"});
  r.leave({"never"});
  r.erase({"never"});
}

TEST_CASE("the rays of what is being taken out count no more, and count again if it stays") {
  clocks c;
  retention r{{.ray_bytes = 160}, c.at}; // 10 rays
  for (const auto* id : {"a", "b", "c"})
    r.enter({id}, 6, c.at.now);
  r.leave({"a"});
  CHECK(r.due(c.at) == keyframe_id{"b"});
  r.leave({"b"});
  CHECK_FALSE(r.due(c.at));
  r.stay({"a"});
  CHECK(r.due(c.at) == keyframe_id{"a"});
}

TEST_CASE("without limits nothing has to go, and nothing is noted") {
  clocks c;
  retention r{{}, c.at};
  r.expect({{"a"}});
  r.enter({"b"}, 1'000'000, c.at.now);
  r.enter_kept({"a"}, 1, 0);
  c.pass(100'000h);
  CHECK_FALSE(r.due(c.at));
  CHECK_FALSE(r.next(c.at));
  r.leave({"b"});
  CHECK_FALSE(r.leaves({"b"}));
}

TEST_CASE("limits are told in words") {
  CHECK(describe({.keyframes = 5}) == "5 keyframes");
  CHECK(describe({.keyframes = 5, .age = 2h, .ray_bytes = 1000}) == "5 keyframes, 7200 s, 1000 bytes of rays");
  CHECK(describe(retention_limits{}).empty());
}

TEST_CASE("whatever comes and goes, what is left is the newest that the limits allow") {
  for (unsigned seed = 0; seed < 50; ++seed) {
    INFO("seed " << seed);
    std::mt19937 random{seed};
    clocks c;
    const retention_limits limits{.keyframes = random() % 2 * (1 + random() % 10),
                                  .age = std::chrono::seconds{random() % 2 * (1 + random() % 30)},
                                  .ray_bytes = random() % 2 * (16 + random() % 1000)};
    retention r{limits, c.at};
    struct one {
      std::string id;
      uint64_t rays;
      std::chrono::steady_clock::time_point came;
    };
    std::deque<one> left; // by hand
    for (int step = 0; step < 200; ++step) {
      c.pass(std::chrono::seconds{random() % 3});
      const auto id = std::to_string(random() % 30);
      if (random() % 5 == 0) {
        r.erase({id});
        std::erase_if(left, [&](const one& x) { return x.id == id; });
      } else if (std::none_of(left.begin(), left.end(), [&](const one& x) { return x.id == id; })) {
        const uint64_t rays = random() % 20;
        r.enter({id}, rays, c.at.now);
        left.push_back({id, rays, c.at.now});
      }
      names gone;
      const auto bytes = [&] {
        uint64_t out = 0;
        for (const auto& x : left)
          out += 16 * x.rays;
        return out;
      };
      while (!left.empty()
             && ((limits.keyframes > 0 && left.size() > limits.keyframes)
                 || (limits.ray_bytes > 0 && left.size() > 1 && bytes() > limits.ray_bytes / 16 * 16)
                 || (limits.age.count() > 0 && c.at.now - left.front().came > limits.age))) {
        gone.push_back(left.front().id);
        left.pop_front();
      }
      CHECK(forgotten(r, c.at) == gone);
    }
  }
}
