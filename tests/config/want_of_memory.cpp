// What our malloc does when the system gives no more memory. Each in a process of its own, which has none.

#include "config/malloc/small_reserve.hpp"

#include <catch2/catch.hpp>
#include <jemalloc/jemalloc.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using tessera::small_reserve;

namespace {

void take_no_more_memory() {
  constexpr rlimit none{0, 0};
  ::setrlimit(RLIMIT_AS, &none);
}

/// Takes all memory that there is; answers whether small things can be made, and go, nevertheless.
bool small_things_are_made_without_memory() {
  take_no_more_memory();
  for (size_t bytes = 1 << 20; bytes > small_reserve::piece_bytes; bytes -= bytes / 16) // of all sizes that malloc knows
    while (::operator new(bytes, std::nothrow) != nullptr) {                            // and never gives it back
    }
  for (int round = 0; round < 20; ++round) { // more than there are pieces, all in all
    std::map<int, std::array<char, 100>> all;
    for (int i = 0; i < 500; ++i)
      all[i].fill('x');
    for (const auto& [number, text] : all)
      if (text.front() != 'x' || text.back() != 'x')
        return false;
  }
  try {
    const std::string much(10'000, 'x');
    return false;
  } catch (const std::bad_alloc&) { // and whoever wants much hears of it
  }
  std::vector<std::unique_ptr<int>> all; // the vector is too large soon
  try {
    for (;;)
      all.push_back(std::make_unique<int>(1));
  } catch (const std::bad_alloc&) {
    return true;
  }
}

/// Begins many threads at once, on stacks that were there before, when there is no more memory; answers whether all of them asked
/// for some, and ended.
bool threads_begin_without_memory() {
  constexpr size_t count = 100, stack_bytes = 256 << 10;
  static std::atomic<size_t> begun{0};
  std::array<pthread_t, count> all{};
  std::array<void*, count> stacks{};
  for (auto& one : stacks)
    if ((one = ::mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) == MAP_FAILED)
      return false;
  take_no_more_memory();
  size_t there = 0;
  for (; there < count; ++there) {
    pthread_attr_t how;
    ::pthread_attr_init(&how);
    ::pthread_attr_setstack(&how, stacks[there], stack_bytes);
    const auto failed = ::pthread_create(
      &all[there], &how,
      [](void*) -> void* {
        void* volatile some = std::malloc(24); // perhaps there is none
        std::free(some);
        const auto small = std::make_unique<int>(1); // there is
        ++begun;
        while (begun < count)
          ::usleep(1000); // so that all are there at once
        return nullptr;
      },
      nullptr);
    ::pthread_attr_destroy(&how);
    if (failed != 0)
      break; // no memory for a thread: nobody is harmed
  }
  begun += count - there;
  for (size_t i = 0; i < there; ++i)
    ::pthread_join(all[i], nullptr);
  return there > 0;
}

/// How a child ends that does this: 0 if it answers true; else what waitpid() says.
int status_of_child(bool (*does)()) {
  const auto child = ::fork();
  if (child == 0)
    ::_exit(does() ? 0 : 1);
  int status = -1;
  return ::waitpid(child, &status, 0) == child ? status : -1;
}

} // namespace

TEST_CASE("threads that begin without memory do not crash") {
  CHECK(status_of_child(threads_begin_without_memory) == 0);
}

TEST_CASE("a thread has a cache of small pieces from its first object on") {
  const auto has_cache = [] {
    auto has = false;
    auto bytes = sizeof has;
    REQUIRE(mallctl("thread.tcache.enabled", &has, &bytes, nullptr, 0) == 0);
    return has;
  };
  bool before = true, after = false;
  std::thread{[&] {
    before = has_cache();
    const auto object = std::make_unique<int>(1);
    after = has_cache();
  }}.join();
  CHECK(after);
  CHECK_FALSE(before); // jemalloc does not make one by itself
}

TEST_CASE("without memory small things are made nevertheless, and large ones are not") {
  const std::string one(10'000, 'x');
  { const std::string other(10'000, 'x'); } // jemalloc has a free place for this size now, wherever else there is none
  CHECK(status_of_child(small_things_are_made_without_memory) == 0);
}

TEST_CASE("pieces of the reserve are apart, come back, and are as many as it says") {
  CHECK(small_reserve::take(small_reserve::piece_bytes + 1) == nullptr);
  int on_the_stack = 0;
  CHECK_FALSE(small_reserve::give_back(&on_the_stack));
  CHECK_FALSE(small_reserve::give_back(nullptr));
  for (int round = 0; round < 2; ++round) {
    std::set<void*> all;
    while (auto* one = small_reserve::take(small_reserve::piece_bytes))
      CHECK(all.insert(one).second);
    CHECK(all.size() == small_reserve::pieces);
    char* last = nullptr;
    for (auto* one : all) {
      CHECK((last == nullptr || static_cast<char*>(one) - last >= static_cast<std::ptrdiff_t>(small_reserve::piece_bytes)));
      last = static_cast<char*>(one);
    }
    for (auto* one : all)
      CHECK(small_reserve::give_back(one));
  }
}

TEST_CASE("threads that take pieces at once get different ones") {
  std::array<std::thread, 4> threads;
  std::atomic<int> wrong{0};
  for (size_t number = 0; number < threads.size(); ++number)
    threads[number] = std::thread{[&wrong, number] {
      for (int round = 0; round < 20'000; ++round) {
        std::array<volatile size_t*, 3> mine{};
        for (auto& one : mine)
          if ((one = static_cast<size_t*>(small_reserve::take(sizeof(size_t)))) != nullptr)
            *one = number;
        for (auto* one : mine)
          if (one != nullptr) {
            wrong += *one != number;
            small_reserve::give_back(const_cast<size_t*>(one));
          }
      }
    }};
  for (auto& one : threads)
    one.join();
  CHECK(wrong == 0);
}
