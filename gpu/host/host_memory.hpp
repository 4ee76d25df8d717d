#pragma once

#include "messages/keyframe.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <thread>

namespace tessera {

/// Keeps memory of the host in its place (page-locks it), so that GPUs of this process read it by themselves. Threads: any.
class page_locks {
public:
  virtual ~page_locks() = default;
  /// False if it cannot be: then GPUs are given a copy. Whole pages.
  [[nodiscard]] virtual bool lock(std::span<std::byte> memory) noexcept = 0;
  virtual void unlock(std::span<std::byte> memory) noexcept = 0;
};

/// A piece of host_memory. It goes back there with the last one who holds it.
struct host_block {
  std::shared_ptr<std::byte> data; ///< begins a page
  size_t bytes = 0;                ///< what was asked for, or more
  bool page_locked = false;
};

/// Memory of the host that keyframes are read into, so that GPUs read it by themselves. To get and to lock memory takes longer
/// than to fill it: so what is given back is used again, and what nobody wanted for a while goes back to the system.
///
/// It is the process's own memory all the time: whatever becomes of a GPU, it can be read. Threads: any.
class host_memory {
public:
  /// What is given back is kept for so long. Throws std::system_error if there can be no thread that sees to it.
  explicit host_memory(std::shared_ptr<page_locks> locks, std::chrono::milliseconds kept_for = std::chrono::seconds(5));
  ~host_memory();
  host_memory(const host_memory&) = delete;
  host_memory& operator=(const host_memory&) = delete;

  /// A piece of at least so many bytes, at least 1, with unknown contents. Throws std::bad_alloc. It may outlive this object.
  [[nodiscard]] host_block take(size_t bytes);
  /// What is held by others, and what waits to be used again.
  [[nodiscard]] size_t bytes() const;

private:
  class pool;
  std::shared_ptr<pool> pool_;
  std::jthread tidying_;
};

/// A keyframe's points in memory that may be page-locked. If the colours begin where the points end, both are of one piece: a GPU
/// does not copy across two that only lie side by side.
class page_locked_body : public keyframe_body {
public:
  /// Whether GPUs read it by themselves. It must not be written to any more then.
  [[nodiscard]] virtual bool page_locked() const = 0;
};

} // namespace tessera
