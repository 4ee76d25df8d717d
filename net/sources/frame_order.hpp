#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace tessera {

/// Which frames of a sequence are offered and in what order: every `every`-th from the first on, at most
/// `limit` of them (0: no limit), then shuffled.
struct frame_choice {
  uint64_t limit = 0;
  uint32_t every = 1;
  std::optional<uint64_t> shuffle;
};

/// The order in which the frames of a sequence are offered, one index after another.
///
/// An endless sequence cannot be shuffled as a whole: it is shuffled in stretches of `stretch` frames.
class frame_order {
public:
  /// `frames`: how many there are; nullopt: endless. `stretch` must not be 0. Throws std::invalid_argument if
  /// `every` is 0.
  frame_order(std::optional<uint64_t> frames, uint64_t stretch, const frame_choice& choice);
  /// The next index, or nothing at the end.
  std::optional<uint64_t> next();
  /// How many there are in all, if they end.
  [[nodiscard]] std::optional<uint64_t> total() const { return total_; }

private:
  frame_choice choice_;
  std::optional<uint64_t> total_;
  uint64_t stretch_ = 1;
  uint64_t given_ = 0;
  uint64_t shuffled_from_ = 0;
  std::vector<uint64_t> shuffled_;
};

} // namespace tessera
