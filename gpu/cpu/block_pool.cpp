#include "gpu/cpu/block_pool.hpp"

#include <cstdlib>
#include <new>

#include <sys/mman.h>

namespace tessera::cpu {

block_pool::~block_pool() {
  for (void* chunk : chunks_)
    ::munmap(chunk, chunk_bytes);
}

block* block_pool::take() {
  block* unused = nullptr;
  {
    const std::scoped_lock lock(mutex_);
    if (cap_bytes_ != 0 && used_bytes_ + sizeof(block) > cap_bytes_)
      throw std::bad_alloc{};
    if (free_.empty()) {
      if (next_ + sizeof(block) > chunk_bytes) {
        // Twice the size is asked for so that an aligned part can be kept.
        auto* raw
          = static_cast<std::byte*>(::mmap(nullptr, 2 * chunk_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        if (raw == MAP_FAILED)
          throw std::bad_alloc{};
        const size_t skip = (chunk_bytes - reinterpret_cast<uintptr_t>(raw) % chunk_bytes) % chunk_bytes;
        if (skip != 0)
          ::munmap(raw, skip);
        ::munmap(raw + skip + chunk_bytes, chunk_bytes - skip);
        ::madvise(raw + skip, chunk_bytes, MADV_HUGEPAGE); // only advice: without huge pages it is slower, not wrong
        chunks_.push_back(raw + skip);
        free_.reserve((chunks_.size() * chunk_bytes) / sizeof(block)); // so that give() cannot fail
        next_ = 0;
      }
      unused = reinterpret_cast<block*>(static_cast<std::byte*>(chunks_.back()) + next_);
      next_ += sizeof(block);
    } else {
      unused = free_.back();
      free_.pop_back();
    }
    used_bytes_ += sizeof(block);
  }
  return new (unused) block{};
}

void block_pool::give(block* unused) {
  const std::scoped_lock lock(mutex_);
  free_.push_back(unused);
  used_bytes_ -= sizeof(block);
}

void block_pool::recount(uint64_t before, uint64_t after) {
  const std::scoped_lock lock(mutex_);
  used_bytes_ += after - before;
}

} // namespace tessera::cpu
