#pragma once
// Memory that a test lets run out, once, for those it means.

namespace tessera::toy {

/// While it lives, those who are meant get memory some times, then once none, then again. One at a time.
class failing_memory {
public:
  /// `fails_at`: which request fails, from 1 on. `is_meant`: whether whoever asks counts; it is called in the asking thread.
  failing_memory(int fails_at, bool (*is_meant)());
  ~failing_memory();
  failing_memory(const failing_memory&) = delete;
  failing_memory& operator=(const failing_memory&) = delete;

  /// Whether it came to the request that fails.
  [[nodiscard]] bool failed() const;
};

} // namespace tessera::toy
