#include "gpu/host_memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <list>
#include <mutex>
#include <new>
#include <optional>
#include <vector>

namespace tessera {

class host_memory::pool : public std::enable_shared_from_this<host_memory::pool> {
public:
  explicit pool(std::shared_ptr<page_locks> locks) : locks_(std::move(locks)) {}
  ~pool() {
    for (const auto& one : idle_)
      release(one.memory);
  }

  host_block take(size_t bytes) {
    std::optional<piece> found;
    std::vector<piece> old;
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
      old = take_old();
    }
    for (const auto& one : old)
      release(one);
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
    std::vector<piece> old;
    {
      const std::scoped_lock lock(mutex_);
      idle_.splice(idle_.end(), node);
      old = take_old();
    }
    for (const auto& each : old)
      release(each);
  }

  /// Takes out those that waited too long; idle_ is by time.
  std::vector<piece> take_old() noexcept {
    std::vector<piece> old;
    const auto limit = clock::now() - kept_for;
    try {
      while (!idle_.empty() && idle_.front().since < limit) {
        old.push_back(idle_.front().memory);
        idle_.pop_front();
      }
    } catch (...) { // they go another time
    }
    return old;
  }

  void release(const piece& one) noexcept {
    if (one.locked)
      locks_->unlock({one.data, one.bytes});
    ::munmap(one.data, one.bytes);
    const std::scoped_lock lock(mutex_);
    bytes_ -= one.bytes;
  }

  std::shared_ptr<page_locks> locks_;
  mutable std::mutex mutex_;
  std::list<idle_piece> idle_;
  size_t bytes_ = 0;
};

host_memory::host_memory(std::shared_ptr<page_locks> locks) : pool_(std::make_shared<pool>(std::move(locks))) {}
host_memory::~host_memory() = default;

host_block host_memory::take(size_t bytes) {
  return pool_->take(std::max<size_t>(bytes, 1));
}

size_t host_memory::bytes() const {
  return pool_->bytes();
}

} // namespace tessera
