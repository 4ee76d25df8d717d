#pragma once

#include <chrono>
#include <cstddef>

namespace tessera {

/// How much a viewer may say: so many frames a second, and one more for each patch that it was sent, which it is to acknowledge.
/// A long frame counts as several. What is more is heard in the next second.
class talk_allowance {
public:
  using clock = std::chrono::steady_clock;
  static constexpr int frames_per_s = 200;
  static constexpr size_t bytes_each = 16 << 10; ///< of a frame that counts as one

  /// A frame of so many bytes was heard. Returns how long to wait before the next one.
  clock::duration hear(clock::time_point now, size_t bytes) {
    if (now - second_ > std::chrono::seconds{1}) {
      second_ = now;
      heard_ = 0;
    }
    heard_ += 1 + static_cast<int>(bytes / bytes_each);
    return heard_ < frames_per_s ? clock::duration{} : second_ + std::chrono::seconds{1} - now;
  }

  /// A patch was sent.
  void sent_patch() { --heard_; }

private:
  clock::time_point second_{};
  int heard_ = 0;
};

} // namespace tessera
