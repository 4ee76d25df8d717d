#include "config/malloc/small_reserve.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <new>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using tessera::small_reserve;

namespace {

/// Takes all memory that there is; answers whether small things can be made, and go, nevertheless. In a process of its own.
bool small_things_are_made_without_memory() {
  constexpr rlimit none{0, 0};
  ::setrlimit(RLIMIT_AS, &none);
  for (size_t bytes = 1 << 20; bytes > small_reserve::piece_bytes; bytes /= 2)
    while (::operator new(bytes, std::nothrow) != nullptr) { // and never gives it back
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

} // namespace

TEST_CASE("without memory small things are made nevertheless, and large ones are not") {
  const auto child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0)
    ::_exit(small_things_are_made_without_memory() ? 0 : 1);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
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
