#include "gpu/cpu/region_pool.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <functional>
#include <latch>
#include <map>
#include <memory>
#include <system_error>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace tessera;
using cpu::region_pool;

namespace {

/// Work that counts how often it was run or let go.
struct work final : region_pool::work {
  work(region_key of, std::function<void()> does) : region_pool::work(of), what(std::move(does)) {}
  void run() noexcept override {
    what();
    ++ran;
  }
  void let_go() noexcept override {
    ++gone;
    if (when_gone)
      when_gone();
  }
  std::function<void()> what, when_gone;
  std::atomic<int> ran = 0, gone = 0;
};

/// Jobs for as many regions as chains, in one.
using chain = std::vector<std::unique_ptr<work>>;

work* linked(chain& all) {
  for (size_t i = 1; i < all.size(); ++i)
    all[i - 1]->next = all[i].get();
  return all.front().get();
}

} // namespace

TEST_CASE("a region's jobs run one after the other, in their order, and all of them run") {
  const uint32_t threads = GENERATE(0u, 1u, 4u);
  constexpr int32_t regions = 5;
  constexpr uint32_t rounds = 200;
  std::map<int32_t, std::vector<uint32_t>> seen;
  std::map<int32_t, std::atomic<int>> inside;
  for (int32_t r = 0; r < regions; ++r)
    seen[r], inside[r] = 0;
  std::atomic<bool> overlapped = false;
  std::vector<chain> chains(rounds);
  std::latch all(regions * rounds);
  region_pool pool(threads);
  for (uint32_t n = 0; n < rounds; ++n) {
    for (int32_t r = 0; r < regions; ++r)
      chains[n].push_back(std::make_unique<work>(region_key{r, 0, 0}, [&, n, r] {
        if (inside[r]++ != 0)
          overlapped = true;
        seen[r].push_back(n);
        --inside[r];
        all.count_down();
      }));
    pool.add(linked(chains[n]));
  }
  all.wait();
  CHECK_FALSE(overlapped);
  for (int32_t r = 0; r < regions; ++r) {
    REQUIRE(seen[r].size() == rounds);
    CHECK(std::is_sorted(seen[r].begin(), seen[r].end()));
  }
  CHECK(pool.regions().size() == regions);
}

TEST_CASE("tasks bring forth jobs, which come before other tasks") {
  const uint32_t threads = GENERATE(0u, 1u);
  std::vector<int> order;
  std::latch begin(1), all(3);
  region_pool* to = nullptr;
  const auto note = [&](int which) {
    order.push_back(which);
    all.count_down();
  };
  work second({}, [&] { note(3); }), job({}, [&] { note(2); });
  work first({}, [&] {
    if (threads != 0)
      begin.wait();
    else
      to->run(second);
    to->add(&job);
    note(1);
  });
  region_pool pool(threads);
  to = &pool;
  pool.run(first);
  if (threads != 0)
    pool.run(second);
  begin.count_down();
  all.wait();
  CHECK(order == std::vector{1, 2, 3});
}

TEST_CASE("a pool forgets regions that have no more jobs, and none that has") {
  region_pool pool(1);
  std::atomic<bool> go = false;
  work blocking({}, [&] { go.wait(false); });
  pool.run(blocking);
  std::vector<int> order;
  work first({-1, 0, 0}, [&] { order.push_back(1); }), second({-1, 0, 0}, [&] { order.push_back(2); });
  pool.add(&first);
  go = true;
  go.notify_all();
  for (int32_t r = 0; r < 100'000; ++r) {
    std::atomic<bool> done = false;
    work one({r, 0, 0}, [&] {
      done = true;
      done.notify_all();
    });
    pool.add(&one);
    done.wait(false);
    while (one.ran == 0)
      std::this_thread::yield();
  }
  pool.add(&second);
  while (second.ran == 0)
    std::this_thread::yield();
  CHECK(order == std::vector{1, 2});
  CHECK(pool.regions().size() < 20'000);
}

TEST_CASE("without threads of its own a pool does what several callers want, one at a time") {
  std::atomic<int> inside = 0, most = 0, done = 0;
  region_pool pool(0);
  {
    std::vector<std::jthread> callers;
    for (int32_t t = 0; t < 4; ++t)
      callers.emplace_back([&, t] {
        for (int i = 0; i < 100; ++i) {
          work job({t, 0, 0}, [&] {
            most = std::max(most.load(), ++inside);
            --inside;
            ++done;
          });
          pool.add(&job);
          if (job.ran != 1)
            most = 99;
        }
      });
  }
  CHECK(most == 1);
  CHECK(done == 400);
}

TEST_CASE("what still waits when a pool goes is let go, also what that brings forth") {
  // Until the pool is quicker than its thread, which it is as good as always.
  for (int let_go = 0; let_go == 0;) {
    std::latch running(1), go_on(1);
    region_pool* going = nullptr;
    chain jobs;
    work late({}, [] {}), task({}, [] {}), blocking({}, [&] {
      running.count_down();
      go_on.wait();
    });
    {
      region_pool pool(1);
      going = &pool;
      pool.run(blocking);
      running.wait();
      for (int32_t i = 0; i < 3; ++i)
        jobs.push_back(std::make_unique<work>(region_key{i % 2, 0, 0}, [] {}));
      jobs.back()->when_gone = [&] { going->run(late); };
      pool.add(linked(jobs));
      pool.run(task);
      go_on.count_down();
    }
    CHECK(blocking.ran == 1);
    CHECK(task.ran + task.gone == 1);
    for (const auto& job : jobs)
      CHECK(job->ran + job->gone == 1);
    let_go = jobs.back()->gone;
    CHECK(late.ran == 0);
    CHECK(late.gone == let_go);
  }
}

TEST_CASE("a pool whose threads cannot all be started throws, and waits for nobody") {
  // In a process of its own, which has little address space left: a thread's stack is some megabytes of it.
  const auto child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    alarm(60);
    std::ifstream statm{"/proc/self/statm"};
    uint64_t pages = 0;
    statm >> pages;
    const rlimit room{pages * static_cast<uint64_t>(getpagesize()) + (512 << 20),
                      pages * static_cast<uint64_t>(getpagesize()) + (512 << 20)};
    setrlimit(RLIMIT_AS, &room);
    try {
      region_pool pool(4096);
    } catch (const std::system_error&) {
      _exit(0);
    }
    _exit(1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
