#include "net/commands/rehearsal.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace tessera {

namespace {

/// Without memory of its own: there may be none.
[[noreturn]] void end(const char* why) noexcept {
  for (const char* part : {"tessera: ", why, "\n"})
    if (::write(STDERR_FILENO, part, std::strlen(part)) < 0)
      break;
  std::_Exit(EXIT_FAILURE);
}

} // namespace

void rehearse(size_t threads, size_t bytes) {
  std::mutex mutex;
  std::condition_variable change;
  bool over = false;
  std::vector<std::thread> crowd;
  std::string failure;
  try {
    crowd.reserve(threads);
    while (crowd.size() < threads)
      crowd.emplace_back([&] {
        std::unique_lock lock(mutex);
        change.wait(lock, [&] { return over; });
      });
    // While all stacks are there. Not from the allocator, whose calls a compiler may leave out when nobody uses what came.
    auto* memory = ::mmap(nullptr, std::max(bytes, size_t{1}), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
      throw std::bad_alloc();
    ::munmap(memory, std::max(bytes, size_t{1}));
  } catch (const std::system_error& e) {
    failure = "only " + std::to_string(crowd.size()) + " of the " + std::to_string(threads)
              + " threads that it needs can be started (" + e.what()
              + "): allow it more (ulimit -u, ulimit -v, the container's limit of pids), or give fewer --threads";
  } catch (const std::bad_alloc&) {
    failure
      = "there is no memory to start with: it needs " + std::to_string(bytes >> 20)
        + " MiB beside the stacks of its threads: allow it more (ulimit -v, the container's limit), or give fewer --threads";
  }
  {
    const std::lock_guard lock(mutex);
    over = true;
  }
  change.notify_all();
  for (auto& one : crowd)
    one.join();
  if (!failure.empty())
    throw std::runtime_error(failure);
}

void end_with_reasons() {
  std::set_terminate([] {
    if (const auto why = std::current_exception()) {
      try {
        std::rethrow_exception(why);
      } catch (const std::exception& e) {
        end(e.what());
      } catch (...) {
      }
    }
    end("it cannot go on: something failed where nothing may; most likely a thread could not be started");
  });
}

void give_up(const std::exception& why) noexcept {
  const auto* text = dynamic_cast<const std::bad_alloc*>(&why) ? "there is no memory to start with" : why.what();
  end(text);
}

} // namespace tessera
