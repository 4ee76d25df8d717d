#pragma once

#include <memory>
#include <mutex>

namespace tessera {

/// Where the actor of a role is found now. Copies share the place: when the supervisor starts a successor, all who hold a copy
/// find that one. Threads: any.
template <class Handle>
class seat {
public:
  /// Seats another actor; a default-made handle leaves the seat empty.
  seat& operator=(Handle next) {
    const std::lock_guard lock{cell_->mutex};
    std::swap(cell_->handle, next);
    return *this; // the previous one is released after the lock, which `next` outlives
  }
  [[nodiscard]] Handle get() const {
    const std::lock_guard lock{cell_->mutex};
    return cell_->handle;
  }
  void clear() { *this = Handle{}; }

private:
  struct cell {
    std::mutex mutex;
    Handle handle;
  };
  std::shared_ptr<cell> cell_ = std::make_shared<cell>();
};

} // namespace tessera
