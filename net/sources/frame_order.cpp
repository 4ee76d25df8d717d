#include "net/sources/frame_order.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace tessera {

namespace {

/// splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
uint64_t next_random(uint64_t& state) {
  state += 0x9e3779b97f4a7c15u;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/// Fisher and Yates. The modulo's bias is below 2^-40 for any sequence that fits into memory.
std::vector<uint64_t> shuffled(uint64_t from, uint64_t count, uint64_t seed) {
  std::vector<uint64_t> order(count);
  std::iota(order.begin(), order.end(), from);
  uint64_t state = seed;
  for (uint64_t i = count; i > 1; --i)
    std::swap(order[i - 1], order[next_random(state) % i]);
  return order;
}

} // namespace

frame_order::frame_order(std::optional<uint64_t> frames, uint64_t stretch, const frame_choice& choice)
  : choice_(choice), stretch_(stretch) {
  if (choice.every == 0)
    throw std::invalid_argument("every is 0, must be at least 1");
  if (stretch == 0)
    throw std::invalid_argument("a stretch of frames must have at least one");
  if (frames)
    total_ = *frames / choice.every + (*frames % choice.every != 0);
  if (choice.limit > 0)
    total_ = std::min(total_.value_or(choice.limit), choice.limit);
}

std::optional<uint64_t> frame_order::next() {
  if (total_ && given_ == *total_)
    return std::nullopt;
  uint64_t position = given_++;
  if (choice_.shuffle) {
    if (position == shuffled_from_ + shuffled_.size()) {
      uint64_t count = total_.value_or(stretch_);
      shuffled_ = shuffled(position, count, *choice_.shuffle + position);
      shuffled_from_ = position;
    }
    position = shuffled_[position - shuffled_from_];
  }
  return position * choice_.every;
}

} // namespace tessera
