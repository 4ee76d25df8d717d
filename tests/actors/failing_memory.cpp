#include "failing_memory.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

std::atomic<int> gets{0}; ///< so many times more, until one gets none; 0: always
std::atomic<bool (*)()> is_one_meant{nullptr};

} // namespace

namespace tessera::toy {

failing_memory::failing_memory(int fails_at, bool (*is_meant)()) {
  is_one_meant = is_meant;
  gets = fails_at;
}

failing_memory::~failing_memory() {
  gets = 0;
}

bool failing_memory::failed() const {
  return gets == 0;
}

} // namespace tessera::toy

[[gnu::noinline]] void* operator new(size_t bytes) {
  if (gets.load(std::memory_order_relaxed) > 0 && is_one_meant.load()() && gets.fetch_sub(1) == 1)
    throw std::bad_alloc{};
  if (auto* out = std::malloc(std::max(bytes, size_t{1})))
    return out;
  throw std::bad_alloc{};
}

[[gnu::noinline]] void operator delete(void* bytes) noexcept {
  std::free(bytes);
}

[[gnu::noinline]] void operator delete(void* bytes, size_t) noexcept {
  std::free(bytes);
}
