#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace tessera::cuda {

/// Memory of a device, or pinned memory of the host that it copies from and to; grows, never shrinks. T must be trivially
/// copyable. The contents are unknown after growing.
///
/// Device: see device.hpp.
template <class Device, class T, bool Pinned>
class buffer {
public:
  /// Exactly so large, until it has to grow.
  explicit buffer(Device& device, size_t size = 0) : device_(device) { allocate(size); }
  ~buffer() { release(); }
  buffer(const buffer&) = delete;
  buffer& operator=(const buffer&) = delete;

  /// Makes room for `size` elements, and a quarter more if it must grow: what comes next is mostly a little larger. Nothing that
  /// uses the buffer may be under way. Throws std::bad_alloc.
  void ensure(size_t size) {
    if (size <= size_)
      return;
    release();
    allocate(std::max(size + size / 4, std::exchange(size_, 0) * 3 / 2));
  }
  [[nodiscard]] T* data() const { return data_; }
  [[nodiscard]] size_t size() const { return size_; }
  T& operator[](size_t i) const requires Pinned { return data_[i]; }

private:
  void allocate(size_t size) {
    if (size == 0)
      return;
    data_ = static_cast<T*>(Pinned ? device_.allocate_host(size * sizeof(T)) : device_.allocate(size * sizeof(T)));
    size_ = size;
  }
  void release() noexcept {
    if (T* old = std::exchange(data_, nullptr)) {
      if constexpr (Pinned)
        device_.release_host(old);
      else
        device_.release(old);
    }
  }
  Device& device_;
  T* data_ = nullptr;
  size_t size_ = 0;
};

template <class Device, class T>
using device_buffer = buffer<Device, T, false>;
template <class Device, class T>
using pinned_buffer = buffer<Device, T, true>;

/// Buffers that others hold for a while. What nobody holds any more is used again. Threads: one; who lets go may be in another.
template <class Buffer, class Device>
class buffer_pool {
public:
  explicit buffer_pool(Device& device) : device_(device) {}

  /// One with room for so many elements. The first call makes `at_first` of them: allocating later would hold up what is under
  /// way. Throws std::bad_alloc.
  std::shared_ptr<Buffer> take(size_t size, size_t at_first) {
    while (buffers_.size() < at_first)
      buffers_.push_back(std::make_shared<Buffer>(device_, size));
    for (auto& each : buffers_)
      if (each.use_count() == 1) {
        std::atomic_thread_fence(std::memory_order_acquire); // after whatever the last one did that let go of it
        each->ensure(size);
        return each;
      }
    buffers_.push_back(std::make_shared<Buffer>(device_, size));
    return buffers_.back();
  }

private:
  Device& device_;
  std::vector<std::shared_ptr<Buffer>> buffers_;
};

} // namespace tessera::cuda
