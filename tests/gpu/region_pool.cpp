#include "gpu/region_pool.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <map>
#include <stdexcept>
#include <system_error>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace tessera;

namespace {

ray_job numbered(uint32_t n) {
  return {.batch = {}, .first = n, .count = 1, .world_from_camera = {}};
}

} // namespace

TEST_CASE("a region's jobs run one after the other, in their order, and all of them run") {
  const auto one_at_a_time = GENERATE(false, true);
  constexpr int32_t regions = 5;
  constexpr uint32_t tasks = 200;
  std::map<int32_t, std::vector<uint32_t>> seen;
  std::map<int32_t, std::atomic<int>> inside;
  for (int32_t r = 0; r < regions; ++r)
    seen[r], inside[r] = 0;
  std::atomic<bool> overlapped = false, batched = false;
  {
    region_pool pool(
      4,
      [&](region_key region, std::span<const ray_job> jobs) {
        if (inside[region.x]++ != 0)
          overlapped = true;
        if (jobs.size() > 1)
          batched = true;
        for (const auto& job : jobs)
          seen[region.x].push_back(job.first);
        --inside[region.x];
      },
      one_at_a_time);
    for (uint32_t n = 0; n < tasks; ++n) {
      std::vector<std::pair<region_key, ray_job>> jobs;
      for (int32_t r = 0; r < regions; ++r)
        jobs.emplace_back(region_key{r, 0, 0}, numbered(n));
      pool.add(std::move(jobs));
    }
    pool.wait();
  }
  CHECK_FALSE(overlapped);
  if (one_at_a_time)
    CHECK_FALSE(batched);
  for (int32_t r = 0; r < regions; ++r) {
    REQUIRE(seen[r].size() == tasks);
    CHECK(std::is_sorted(seen[r].begin(), seen[r].end()));
  }
}

TEST_CASE("tasks bring forth jobs, and waiting covers both") {
  std::atomic<uint32_t> jobs_done = 0, tasks_done = 0;
  region_pool pool(
    3, [&](region_key, std::span<const ray_job> jobs) { jobs_done += static_cast<uint32_t>(jobs.size()); }, false);
  for (int i = 0; i < 100; ++i)
    pool.run([&] {
      pool.add({{region_key{}, numbered(0)}, {region_key{1, 0, 0}, numbered(0)}});
      ++tasks_done;
    });
  pool.wait();
  CHECK(tasks_done == 100);
  CHECK(jobs_done == 200);
}

TEST_CASE("what a job throws comes out of waiting, once, and the rest of the jobs is let go") {
  std::atomic<uint32_t> calls = 0;
  region_pool pool(
    2,
    [&](region_key, std::span<const ray_job>) {
      ++calls;
      throw std::runtime_error("full");
    },
    true);
  std::vector<std::pair<region_key, ray_job>> jobs;
  for (int32_t i = 0; i < 50; ++i)
    jobs.emplace_back(region_key{0, 0, 0}, numbered(0));
  pool.add(std::move(jobs));
  CHECK_THROWS_WITH(pool.wait(), "full");
  CHECK(calls == 1);
  CHECK_NOTHROW(pool.wait());
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
      region_pool pool(
        4096, [](region_key, std::span<const ray_job>) {}, false);
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
