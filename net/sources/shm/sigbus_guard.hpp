#pragma once

#include <atomic>
#include <cstddef>

namespace tessera {

/// Keeps a read of a file mapping whose file was cut short from killing the process: while the guard lives, a
/// SIGBUS inside the range puts zeros under it from the faulting page on, and sets a flag. Any other SIGBUS
/// goes to the handler that was there before.
///
/// Threads: the range may be read from any thread. Must be destroyed before the range is unmapped.
class sigbus_guard {
public:
  /// Guards at most `capacity` ranges at once; throws not_now_error beyond that.
  static constexpr size_t capacity = 1024;

  sigbus_guard(const void* begin, size_t bytes);
  ~sigbus_guard();
  sigbus_guard(const sigbus_guard&) = delete;
  sigbus_guard& operator=(const sigbus_guard&) = delete;

  /// True once a read fell on memory that was gone.
  [[nodiscard]] bool hit() const;

private:
  size_t slot_ = 0;
};

} // namespace tessera
