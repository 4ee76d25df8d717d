#include "net/sources/shm/sigbus_guard.hpp"

#include "net/base/not_now_error.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <system_error>

namespace tessera {

namespace {

/// One guarded range. The handler reads it without a lock: `end` is what makes it live, and is written last.
struct slot {
  std::atomic<bool> taken = false;
  std::atomic<uintptr_t> begin = 0;
  std::atomic<uintptr_t> end = 0;
  std::atomic<bool> hit = false;
};
static_assert(std::atomic<uintptr_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

std::array<slot, sigbus_guard::capacity> slots;
struct sigaction before;
uintptr_t page_bytes = 4096;

/// Runs in a signal handler: nothing but atomics and system calls.
void on_sigbus(int number, siginfo_t* info, void* context) {
  int saved = errno;
  auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (auto& s : slots) {
    auto end = s.end.load(std::memory_order_acquire);
    if (end == 0 || address >= end || address < s.begin.load(std::memory_order_relaxed))
      continue;
    // What lies behind a lost page is lost, too: one go for all of it.
    auto from = address & ~(page_bytes - 1);
    auto to = (end + page_bytes - 1) & ~(page_bytes - 1);
    void* zeros = mmap(reinterpret_cast<void*>(from), to - from, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (zeros == MAP_FAILED)
      break;
    s.hit.store(true, std::memory_order_release);
    errno = saved;
    return;
  }
  errno = saved;
  if (before.sa_flags & SA_SIGINFO) {
    before.sa_sigaction(number, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(number);
  } else {
    // The default end, with its core file: the same instruction faults again as soon as this returns.
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    sigaction(SIGBUS, &standard, nullptr);
  }
}

void install() {
  page_bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  struct sigaction ours {};
  ours.sa_sigaction = on_sigbus;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&ours.sa_mask);
  // `before` must be known before the first signal can arrive.
  if (sigaction(SIGBUS, nullptr, &before) != 0 || sigaction(SIGBUS, &ours, nullptr) != 0)
    throw std::system_error(errno, std::generic_category(), "cannot handle SIGBUS");
}

} // namespace

sigbus_guard::sigbus_guard(const void* begin, size_t bytes) {
  static std::once_flag once;
  std::call_once(once, install);
  for (slot_ = 0; slot_ < capacity; ++slot_) {
    auto& s = slots[slot_];
    if (s.taken.load(std::memory_order_relaxed) || s.taken.exchange(true, std::memory_order_acquire))
      continue;
    s.hit.store(false, std::memory_order_relaxed);
    s.begin.store(reinterpret_cast<uintptr_t>(begin), std::memory_order_relaxed);
    s.end.store(reinterpret_cast<uintptr_t>(begin) + bytes, std::memory_order_release);
    return;
  }
  throw not_now_error("more than " + std::to_string(capacity) + " segments are mapped at once");
}

sigbus_guard::~sigbus_guard() {
  auto& s = slots[slot_];
  s.end.store(0, std::memory_order_release);
  s.taken.store(false, std::memory_order_release);
}

bool sigbus_guard::hit() const {
  return slots[slot_].hit.load(std::memory_order_acquire);
}

} // namespace tessera
