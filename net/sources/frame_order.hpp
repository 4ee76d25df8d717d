#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace tessera {

/// Which frames of a sequence are offered, and in what order.
struct frame_choice {
  /// At most so many; 0: no limit.
  uint64_t limit = 0;
  /// Only every n-th from the first on, counted before `limit`; 1: all.
  uint32_t every = 1;
  /// Shuffles the chosen ones by this seed. Which ones are chosen does not change.
  std::optional<uint64_t> shuffle;
  /// Whether these are all frames, in their order.
  [[nodiscard]] bool is_all() const { return limit == 0 && every == 1 && !shuffle; }
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
