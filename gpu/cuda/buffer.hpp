#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

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

} // namespace tessera::cuda
