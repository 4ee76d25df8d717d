#include "gpu/cpu/block_pool.hpp"

#include "gpu/bounds.hpp"

#include <cstddef>
#include <new>
#include <utility>

#include <sys/mman.h>

namespace tessera {

memory_cap_reached::memory_cap_reached(uint64_t cap_bytes)
  : no_room("the map's memory has reached its cap, memory-cap, of " + std::to_string(cap_bytes) + " bytes ("
            + std::to_string(cap_bytes >> 20) + " MiB)") {}

} // namespace tessera

namespace tessera::cpu {

namespace {

constexpr size_t page_bytes = 2 << 20;

} // namespace

/// Stands at the start of a page; its blocks follow.
struct alignas(64) block_pool::page {
  /// What stands in a block that is not in use.
  struct unused_block {
    unused_block* next;
  };

  page *before = nullptr, *after = nullptr; ///< with room
  unused_block* free = nullptr;             ///< given back
  size_t used = 0;                          ///< blocks
  size_t begun = 0;                         ///< blocks that were ever used: those behind are untouched

  static constexpr size_t most = (page_bytes - 64) / sizeof(block);
  [[nodiscard]] std::byte* at(size_t i) { return reinterpret_cast<std::byte*>(this + 1) + i * sizeof(block); }
};

block_pool::page* block_pool::make_page() {
  static_assert(sizeof(page) == 64 && sizeof(block) % 64 == 0);
  // Twice the size is asked for so that an aligned part can be kept.
  auto* raw
    = static_cast<std::byte*>(::mmap(nullptr, 2 * page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (raw == MAP_FAILED)
    throw std::bad_alloc{};
  const size_t skip = (page_bytes - reinterpret_cast<uintptr_t>(raw) % page_bytes) % page_bytes;
  if (skip != 0)
    ::munmap(raw, skip);
  ::munmap(raw + skip + page_bytes, page_bytes - skip);
  ::madvise(raw + skip, page_bytes, MADV_HUGEPAGE); // only advice: without huge pages it is slower, not wrong
  return new (raw + skip) page{};
}

block_pool::page* block_pool::page_of(block* in) {
  auto* byte = reinterpret_cast<std::byte*>(in);
  return reinterpret_cast<page*>(byte - reinterpret_cast<uintptr_t>(byte) % page_bytes);
}

void block_pool::add_to_room(page* p) {
  p->before = last_;
  p->after = nullptr;
  (last_ != nullptr ? last_->after : first_) = p;
  last_ = p;
}

void block_pool::take_from_room(page* p) {
  (p->before != nullptr ? p->before->after : first_) = p->after;
  (p->after != nullptr ? p->after->before : last_) = p->before;
}

block_pool::~block_pool() {
  while (first_ != nullptr)
    ::munmap(std::exchange(first_, first_->after), page_bytes);
}

block* block_pool::take(bool past_the_cap) {
  void* unused = nullptr;
  {
    const std::scoped_lock lock(mutex_);
    if (!past_the_cap && cap_bytes_ != 0 && used_bytes_ + sizeof(block) > cap_bytes_)
      throw memory_cap_reached(cap_bytes_);
    if (first_ == nullptr) {
      add_to_room(make_page());
      ++pages_;
      empty_page_ = true;
    }
    page* const from = first_;
    if (from->used == 0)
      empty_page_ = false;
    if (from->free != nullptr)
      unused = std::exchange(from->free, from->free->next);
    else
      unused = from->at(from->begun++);
    if (++from->used == page::most)
      take_from_room(from);
    used_bytes_ += sizeof(block);
    ++blocks_;
  }
  return new (unused) block{};
}

void block_pool::give(block* unused) {
  page* empty = nullptr;
  {
    const std::scoped_lock lock(mutex_);
    page* const to = page_of(unused);
    to->free = new (unused) page::unused_block{to->free};
    used_bytes_ -= sizeof(block);
    --blocks_;
    if (to->used-- == page::most)
      add_to_room(to);
    if (to->used == 0 && std::exchange(empty_page_, true)) {
      take_from_room(to);
      --pages_;
      empty = to;
    }
  }
  if (empty != nullptr)
    ::munmap(empty, page_bytes);
}

void block_pool::recount(uint64_t before, uint64_t after) {
  const std::scoped_lock lock(mutex_);
  used_bytes_ += after - before;
}

uint64_t block_pool::blocks() const {
  const std::scoped_lock lock(mutex_);
  return blocks_;
}

uint64_t block_pool::mapped_bytes() const {
  const std::scoped_lock lock(mutex_);
  return pages_ * page_bytes;
}

} // namespace tessera::cpu
