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
  explicit buffer(Device& device, size_t size = 0) : device_(device) { ensure(size); }
  ~buffer() { release(); }
  buffer(const buffer&) = delete;
  buffer& operator=(const buffer&) = delete;

  /// Makes room for `size` elements. Nothing that uses the buffer may be under way. Throws std::bad_alloc.
  void ensure(size_t size) {
    if (size <= size_)
      return;
    release();
    const size_t next = std::max(size, size_ + size_ / 2);
    size_ = 0;
    data_ = static_cast<T*>(Pinned ? device_.allocate_host(next * sizeof(T)) : device_.allocate(next * sizeof(T)));
    size_ = next;
  }
  [[nodiscard]] T* data() const { return data_; }
  [[nodiscard]] size_t size() const { return size_; }
  T& operator[](size_t i) const requires Pinned { return data_[i]; }

private:
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
