#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace tessera {

/// Large pieces of memory that were freed, kept for whoever wants one next. Otherwise malloc would unmap them, or give back the
/// end of a heap that they were at: made anew, their pages fault one by one and are cleared, and giving them back stops all
/// threads of the process for a moment. A mesh costs some hundred pages, its encoder as many again, hundreds of times a second.
///
/// What was not needed between two sweeps is freed, so that nothing is kept for long that is not used. Sizes are rounded up to
/// one of eight an octave. Throws nothing and allocates nothing. Threads: any.
class piece_cache {
public:
  static constexpr size_t smallest = size_t{32} << 10, largest = size_t{32} << 20;
  static constexpr size_t most_kept = size_t{256} << 20;

  /// How much to ask malloc for when `bytes` are wanted, so that the piece fits others of about that size, too.
  static size_t rounded(size_t bytes) noexcept;

  /// Returns a piece of at least `bytes`, or null if none is kept.
  void* take(size_t bytes) noexcept;

  /// Takes a piece of malloc's in which so many bytes can be used. False: it is not kept, and the caller frees it.
  bool keep(void* piece, size_t usable_bytes) noexcept;

  /// Frees what was not needed since the last call. Call it a few times a second.
  void sweep() noexcept { shrink(false); }

  /// Frees all that is kept; false if there was nothing.
  bool clear() noexcept { return shrink(true); }

  [[nodiscard]] size_t kept_bytes() noexcept;

private:
  /// A kept piece begins with it.
  struct node {
    node* next;
  };
  struct shelf {
    node* first = nullptr;
    uint32_t count = 0;
    uint32_t spare = 0; ///< the least count since the last sweep
  };
  static constexpr size_t steps = 8; ///< an octave
  static constexpr size_t shelves = 10 * steps + 1;

  static size_t size_of(size_t at) noexcept;
  static size_t shelf_above(size_t bytes) noexcept;
  bool shrink(bool all) noexcept;

  std::mutex mutex_;
  std::array<shelf, shelves> shelves_{};
  size_t kept_ = 0;
};

} // namespace tessera
