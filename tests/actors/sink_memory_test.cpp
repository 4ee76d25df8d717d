// What is offered while memory is short is answered, and its credit comes back.

#include "failing_memory.hpp"
#include "toy_service.hpp"

#include <catch2/catch.hpp>

#include <dlfcn.h>
#include <execinfo.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <thread>

using namespace tessera;
using namespace tessera::toy;

namespace {

std::thread::id asking;

/// CAF's clock gets what it asks for: it would leave a timeout half entered, and crash when that is due.
bool is_meant() {
  if (std::this_thread::get_id() != asking)
    return false;
  std::array<void*, 16> callers{};
  const auto count = static_cast<size_t>(::backtrace(callers.data(), static_cast<int>(callers.size())));
  return std::none_of(callers.begin(), callers.begin() + count, [](const void* one) {
    Dl_info where{};
    return ::dladdr(one, &where) != 0 && where.dli_sname != nullptr
           && std::string_view{where.dli_sname}.find("simple_actor_clock") != std::string_view::npos;
  });
}

} // namespace

TEST_CASE("an offer that gets no memory on its way to the map is answered, and costs no credit") {
  const auto by = std::make_shared<control>();
  stepped_service s{config_for(by), by};
  constexpr uint32_t credit = 3;
  const auto sink = make_ingest_sink(s.system, s.running, credit);
  s.run();
  asking = std::this_thread::get_id();
  const auto frames = random_frames(11, 300);
  size_t offered = 0, answered = 0, accepted = 0, not_now = 0;
  const keyframe_sink::completion count = [&](const verdict& v) {
    ++answered;
    accepted += v.what == outcome::accepted;
    not_now += v.what == outcome::not_now;
  };
  auto was_short = true;
  for (int at = 1; was_short && at < 200; ++at) {
    CAPTURE(at);
    map_input what = frames[offered++];
    auto done = count;
    {
      const failing_memory memory{at, is_meant};
      sink->offer(std::move(what), std::move(done));
      for (int step = 0; step < 2 && s.scheduler().has_job(); ++step)
        s.scheduler().run_once(); // the relay asks ingest, which asks the partitioner
      was_short = memory.failed();
    }
    s.run();
    CHECK(answered == offered);
    REQUIRE(sink->drain(std::chrono::seconds{0})); // else the next offer would wait for ever
  }
  CHECK_FALSE(was_short);
  CHECK(not_now > 5);
  CHECK(accepted + not_now == offered);
  CHECK(s.running.context.numbers->not_now_by[static_cast<size_t>(hindrance::memory)] > 5);
  CHECK(s.running.context.numbers->not_now_by[static_cast<size_t>(hindrance::closing)] == 0);

  const auto before = accepted;
  for (uint32_t i = 0; i < credit + 1; ++i) {
    sink->offer(frames[offered++], count);
    s.run();
  }
  CHECK(accepted == before + credit + 1);
}

TEST_CASE("a completion that throws costs no credit") {
  const auto by = std::make_shared<control>();
  stepped_service s{config_for(by), by};
  const auto sink = make_ingest_sink(s.system, s.running, 1);
  s.run();
  for (const auto& f : random_frames(12, 3)) {
    sink->offer(f, [](const verdict&) { throw std::bad_alloc{}; });
    s.run();
    REQUIRE(sink->drain(std::chrono::seconds{0}));
  }
  CHECK(s.status().keyframes == 3);
}
