#include "net/commands/piece_cache.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <new>

namespace tessera {

namespace {

/// Of a mapping, malloc uses so much itself, or a little less; with it, pieces of the larger sizes are whole pages.
constexpr size_t overhead = 32;

} // namespace

/// How large a shelf's pieces are, malloc's overhead included.
size_t piece_cache::size_of(size_t at) noexcept {
  const auto octave = smallest << (at / steps);
  return octave + octave / steps * (at % steps);
}

/// The first shelf whose pieces have room for so many bytes; `shelves` if there is none.
size_t piece_cache::shelf_above(size_t bytes) noexcept {
  if (bytes > largest - overhead)
    return shelves;
  const auto size = std::max(bytes + overhead, smallest);
  const auto octave = static_cast<size_t>(std::bit_width(size / smallest)) - 1;
  const auto step = (smallest << octave) / steps;
  return octave * steps + (size - (smallest << octave) + step - 1) / step;
}

size_t piece_cache::rounded(size_t bytes) noexcept {
  const auto at = shelf_above(bytes);
  return at < shelves ? size_of(at) - overhead : bytes;
}

void* piece_cache::take(size_t bytes) noexcept {
  const auto wanted = shelf_above(bytes);
  const std::lock_guard lock{mutex_};
  for (auto i = wanted; i < std::min(wanted + 2, shelves); ++i) { // a little larger than needed will do
    auto& from = shelves_[i];
    if (!from.first)
      continue;
    auto* piece = from.first;
    from.first = piece->next;
    from.spare = std::min(from.spare, --from.count);
    kept_ -= size_of(i);
    return piece;
  }
  return nullptr;
}

bool piece_cache::keep(void* piece, size_t usable_bytes) noexcept {
  if (usable_bytes + overhead < smallest || usable_bytes > largest)
    return false;
  auto at = shelf_above(usable_bytes);
  if (at == shelves || size_of(at) > usable_bytes + overhead)
    --at;
  const std::lock_guard lock{mutex_};
  if (kept_ + size_of(at) > most_kept)
    return false;
  auto& to = shelves_[at];
  to.first = new (piece) node{to.first};
  ++to.count;
  kept_ += size_of(at);
  return true;
}

bool piece_cache::shrink(bool all) noexcept {
  node* out = nullptr;
  {
    const std::lock_guard lock{mutex_};
    for (size_t i = 0; i < shelves; ++i) {
      auto& from = shelves_[i];
      for (auto left = all ? from.count : from.spare; left > 0; --left) {
        auto* piece = from.first;
        from.first = piece->next;
        piece->next = out;
        out = piece;
        --from.count;
        kept_ -= size_of(i);
      }
      from.spare = from.count;
    }
  }
  const bool any = out != nullptr;
  while (out) { // without the lock: unmapping takes its time
    auto* next = out->next;
    std::free(out);
    out = next;
  }
  return any;
}

size_t piece_cache::kept_bytes() noexcept {
  const std::lock_guard lock{mutex_};
  return kept_;
}

} // namespace tessera
