#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>

namespace tessera::cpu {

/// An 8^3 block of voxels. Distances are read from words 0 and 1, so those two share a cache line.
struct block {
  struct front {
    uint64_t w0 = 0, w1 = 0;
  };
  std::array<front, 512> w01{};
  std::array<uint64_t, 512> w2{};
  /// Signs and observations, a row of eight voxels in each byte: not state, only a summary of words 0, as old as the last
  /// region_field::update_signs().
  std::array<uint8_t, 64> inside{}, observed{};
};

/// The memory of all blocks of a map: huge pages of 2 MiB (a map is scattered, and small pages would miss the TLB all the
/// time), blocks used again when given back, and a cap, which also counts what the regions' surfaces hold. A page of which no
/// block is in use goes back to the system at once, but for one. Threads: any.
class block_pool {
public:
  /// 0: no cap.
  explicit block_pool(uint64_t cap_bytes) : cap_bytes_(cap_bytes) {}
  /// All blocks were given back by now.
  ~block_pool();
  block_pool(const block_pool&) = delete;
  block_pool& operator=(const block_pool&) = delete;
  /// Returns an all-zero block. Throws memory_cap_reached if the cap would be passed, unless it may be.
  block* take(bool past_the_cap = false);
  void give(block* unused);
  /// A region's surface, so many bytes before, now holds another number. Never refused: the surface of what is in the field is
  /// always made, and from the cap on there are no more blocks.
  void recount(uint64_t before, uint64_t after);
  /// Blocks that are taken.
  [[nodiscard]] uint64_t blocks() const;
  /// Memory that it has of the system.
  [[nodiscard]] uint64_t mapped_bytes() const;

private:
  struct page;
  static page* make_page();
  static page* page_of(block* in);
  void add_to_room(page* p);
  void take_from_room(page* p);

  mutable std::mutex mutex_;
  uint64_t cap_bytes_, used_bytes_ = 0; ///< blocks and surfaces
  uint64_t blocks_ = 0;
  uint64_t pages_ = 0;
  /// Pages that have room. Blocks are taken of the first, and pages come in at the end, so that others have time to empty.
  page *first_ = nullptr, *last_ = nullptr;
  bool empty_page_ = false; ///< one of them has no block in use
};

/// Gives a block back to its pool.
struct block_return {
  block_pool* pool = nullptr;
  void operator()(block* unused) const { pool->give(unused); }
};
using block_handle = std::unique_ptr<block, block_return>;

} // namespace tessera::cpu
