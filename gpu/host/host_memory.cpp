#include "gpu/host/host_memory.hpp"

#include "messages/thread_name.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <list>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

namespace tessera {

class host_memory::pool : public std::enable_shared_from_this<host_memory::pool> {
public:
  pool(std::shared_ptr<page_locks> locks, std::chrono::milliseconds kept_for) : locks_(std::move(locks)), kept_for_(kept_for) {}
  ~pool() {
    for (const auto& one : idle_)
      release(one.memory);
  }

  host_block take(size_t bytes) {
    std::optional<piece> found;
    {
      const std::scoped_lock lock(mutex_);
      // The smallest that is large enough, unless most of it would lie idle; of equals the one that was used last.
      auto best = idle_.end();
      for (auto i = idle_.begin(); i != idle_.end(); ++i)
        if (i->memory.bytes >= bytes && i->memory.bytes / 4 <= bytes
            && (best == idle_.end() || i->memory.bytes <= best->memory.bytes))
          best = i;
      if (best != idle_.end()) {
        found = best->memory;
        idle_.erase(best);
      }
    }
    if (!found)
      found = make(bytes);
    try {
      // Should there be no memory for the pointer's own, it calls its deleter.
      std::shared_ptr<std::byte> data(found->data,
                                      [self = shared_from_this(), one = *found](std::byte*) { self->give_back(one); });
      return {std::move(data), found->bytes, found->locked};
    } catch (...) {
      throw std::bad_alloc();
    }
  }

  [[nodiscard]] size_t bytes() const {
    const std::scoped_lock lock(mutex_);
    return bytes_;
  }

  /// Gives the system what nobody wanted for long enough, until told to stop.
  void tidy(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested()) {
      if (idle_.empty()) {
        changed_.wait(lock, stop, [this] { return !idle_.empty(); });
        continue;
      }
      const auto until = idle_.front().since + kept_for_; // they are by time
      if (clock::now() < until) {
        changed_.wait_until(lock, stop, until,
                            [this, until] { return idle_.empty() || idle_.front().since + kept_for_ != until; });
        continue;
      }
      const auto old = idle_.front().memory;
      idle_.pop_front();
      lock.unlock();
      release(old);
      lock.lock();
    }
  }

private:
  using clock = std::chrono::steady_clock;
  struct piece {
    std::byte* data;
    size_t bytes;
    bool locked;
  };
  struct idle_piece {
    piece memory;
    clock::time_point since;
  };

  piece make(size_t bytes) {
    // A quarter more, since what comes next is mostly a little larger.
    static const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    const size_t whole = (bytes + bytes / 4 + page - 1) / page * page;
    if (whole < bytes)
      throw std::bad_alloc();
    void* at = ::mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
      throw std::bad_alloc();
    const std::span memory(static_cast<std::byte*>(at), whole);
    const bool locked = locks_ && locks_->lock(memory);
    const std::scoped_lock lock(mutex_);
    bytes_ += whole;
    return {memory.data(), whole, locked};
  }

  void give_back(const piece& one) noexcept {
    std::list<idle_piece> node;
    try {
      node.push_back({one, clock::now()});
    } catch (...) {
      return release(one);
    }
    {
      const std::scoped_lock lock(mutex_);
      idle_.splice(idle_.end(), node);
    }
    changed_.notify_one();
  }

  void release(const piece& one) noexcept {
    if (one.locked)
      locks_->unlock({one.data, one.bytes});
    ::munmap(one.data, one.bytes);
    const std::scoped_lock lock(mutex_);
    bytes_ -= one.bytes;
  }

  std::shared_ptr<page_locks> locks_;
  std::chrono::milliseconds kept_for_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::list<idle_piece> idle_;
  size_t bytes_ = 0;
};

host_memory::host_memory(std::shared_ptr<page_locks> locks, std::chrono::milliseconds kept_for)
  : pool_(std::make_shared<pool>(std::move(locks), kept_for)), tidying_([its = pool_](const std::stop_token& stop) {
      name_thread("host memory");
      its->tidy(stop);
    }) {}
host_memory::~host_memory() = default;

host_block host_memory::take(size_t bytes) {
  return pool_->take(std::max<size_t>(bytes, 1));
}

size_t host_memory::bytes() const {
  return pool_->bytes();
}

} // namespace tessera
