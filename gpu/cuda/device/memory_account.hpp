#pragma once

#include "gpu/bounds.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace tessera::cuda {

/// Keeps what is allocated on a device within a bound. Threads: any.
class memory_account {
public:
  /// `most`: bytes; 0: no bound.
  explicit memory_account(uint64_t most) : most_{most} {}

  /// Calls `allocate()` for a piece of memory, and returns it. Throws no_room, before it calls, if the bound would be
  /// passed; and what it throws.
  template <class Allocate>
  void* take(size_t bytes, Allocate allocate) {
    {
      const std::scoped_lock lock{mutex_};
      if (most_ != 0 && (bytes > most_ || used_ > most_ - bytes))
        throw no_room("the GPU's memory is full: no more than " + std::to_string(most_) + " bytes of it may be used");
      used_ += bytes;
    }
    try {
      void* at = allocate();
      const std::scoped_lock lock{mutex_};
      pieces_[at] = bytes;
      return at;
    } catch (...) {
      const std::scoped_lock lock{mutex_};
      used_ -= bytes;
      throw;
    }
  }
  /// The piece was given back.
  void gave_back(void* at) noexcept {
    const std::scoped_lock lock{mutex_};
    if (const auto i = pieces_.find(at); i != pieces_.end()) {
      used_ -= i->second;
      pieces_.erase(i);
    }
  }
  [[nodiscard]] uint64_t used() const {
    const std::scoped_lock lock{mutex_};
    return used_;
  }

private:
  uint64_t most_;
  mutable std::mutex mutex_;
  uint64_t used_ = 0;
  std::map<void*, size_t> pieces_;
};

} // namespace tessera::cuda
