#include "gpu/host/host_memory.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <mutex>
#include <thread>

using namespace tessera;

namespace {

/// Counts what is locked; refuses if told to.
class counted_locks final : public page_locks {
public:
  [[nodiscard]] bool lock(std::span<std::byte> memory) noexcept override {
    const std::scoped_lock lock(mutex_);
    return !refuse && held_.emplace(memory.data(), memory.size()).second;
  }
  void unlock(std::span<std::byte> memory) noexcept override {
    const std::scoped_lock lock(mutex_);
    wrong = wrong || held_[memory.data()] != memory.size();
    held_.erase(memory.data());
  }
  [[nodiscard]] size_t held() const {
    const std::scoped_lock lock(mutex_);
    return held_.size();
  }
  bool refuse = false, wrong = false;

private:
  mutable std::mutex mutex_;
  std::map<const std::byte*, size_t> held_;
};

} // namespace

TEST_CASE("host memory that was given back is used again, unless most of it would lie idle") {
  const auto locks = std::make_shared<counted_locks>();
  host_memory memory(locks, std::chrono::hours(1));
  const std::byte* at = nullptr;
  {
    const auto first = memory.take(100'000);
    CHECK(first.page_locked);
    CHECK(first.bytes >= 100'000);
    at = first.data.get();
    const auto second = memory.take(100'000);
    CHECK(second.data.get() != at);
    CHECK(locks->held() == 2);
  }
  CHECK(memory.take(110'000).data.get() != nullptr);
  CHECK(locks->held() == 2);
  const auto small = memory.take(1'000);
  CHECK(small.bytes < 50'000);
  CHECK(locks->held() == 3);
  CHECK(memory.bytes() >= 201'000);
}

TEST_CASE("host memory that nobody wants any more goes back to the system by itself") {
  const auto locks = std::make_shared<counted_locks>();
  host_memory memory(locks, std::chrono::milliseconds(1));
  const auto kept = memory.take(10'000);
  for (size_t bytes : {100'000, 200'000, 3'000'000})
    (void)memory.take(bytes);
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while ((locks->held() != 1 || memory.bytes() != kept.bytes) && std::chrono::steady_clock::now() < until)
    std::this_thread::yield(); // each piece is unlocked first, and counted out when it is freed
  CHECK(locks->held() == 1);
  CHECK(memory.bytes() == kept.bytes);
  CHECK_FALSE(locks->wrong);
}

TEST_CASE("host memory that cannot be locked is good all the same") {
  const auto locks = std::make_shared<counted_locks>();
  locks->refuse = true;
  for (const auto& by : {std::static_pointer_cast<page_locks>(locks), std::shared_ptr<page_locks>()}) {
    host_memory memory(by);
    const auto block = memory.take(5'000);
    CHECK_FALSE(block.page_locked);
    std::fill_n(block.data.get(), block.bytes, std::byte{7});
    CHECK(block.data.get()[block.bytes - 1] == std::byte{7});
  }
}

TEST_CASE("host memory outlives the pool that it came from, and is unlocked at last") {
  const auto locks = std::make_shared<counted_locks>();
  {
    host_block block;
    {
      host_memory memory(locks);
      (void)memory.take(70'000);
      block = memory.take(1 << 20);
    }
    CHECK(locks->held() == 2);
    std::fill_n(block.data.get(), block.bytes, std::byte{1});
  }
  CHECK(locks->held() == 0);
  CHECK_FALSE(locks->wrong);
}

TEST_CASE("host memory throws bad_alloc for what no machine has") {
  host_memory memory(nullptr);
  CHECK_THROWS_AS(memory.take(~size_t{0}), std::bad_alloc);
  CHECK_THROWS_AS(memory.take(size_t{1} << 62), std::bad_alloc);
  CHECK(memory.bytes() == 0);
}

TEST_CASE("host memory may be taken and given back by many threads at once") {
  const auto locks = std::make_shared<counted_locks>();
  {
    host_memory memory(locks);
    std::vector<std::jthread> threads;
    for (unsigned t = 0; t < 4; ++t)
      threads.emplace_back([&memory, t] {
        for (size_t i = 0; i < 200; ++i) {
          const auto block = memory.take(1 + (i * 7919 + t * 104'729) % 300'000);
          std::fill_n(block.data.get(), 64, static_cast<std::byte>(t));
          std::this_thread::yield();
          const auto same
            = std::all_of(block.data.get(), block.data.get() + 1, [&](std::byte b) { return b == static_cast<std::byte>(t); });
          if (!same)
            std::abort(); // somebody else has it, too
        }
      });
    threads.clear();
  }
  CHECK(locks->held() == 0);
  CHECK_FALSE(locks->wrong);
}
