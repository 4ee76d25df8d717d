#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <mutex>
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

/// Buffers that others hold for a while. What the last one lets go of is used again. Threads: one takes; any lets go.
template <class Buffer, class Device>
class buffer_pool {
public:
  explicit buffer_pool(Device& device) : device_(device) {}

  /// One with room for so many elements. The first call makes `at_first` of them: allocating later would hold up what is under
  /// way. Throws std::bad_alloc.
  std::shared_ptr<Buffer> take(size_t size, size_t at_first) {
    while (made_ < at_first)
      idle_->put(make(size));
    auto next = idle_->take();
    if (next == nullptr)
      next = make(size);
    std::shared_ptr<Buffer> out(next.release(), [idle = idle_](Buffer* back) { idle->put(std::unique_ptr<Buffer>(back)); });
    out->ensure(size);
    return out;
  }

private:
  class idle_buffers {
  public:
    void expect(size_t count) {
      const std::lock_guard lock(mutex_);
      buffers_.reserve(count);
    }
    void put(std::unique_ptr<Buffer> one) noexcept { // there is room: see expect()
      const std::lock_guard lock(mutex_);
      buffers_.push_back(std::move(one));
    }
    std::unique_ptr<Buffer> take() {
      const std::lock_guard lock(mutex_);
      if (buffers_.empty())
        return nullptr;
      auto one = std::move(buffers_.back());
      buffers_.pop_back();
      return one;
    }

  private:
    std::mutex mutex_;
    std::vector<std::unique_ptr<Buffer>> buffers_;
  };

  std::unique_ptr<Buffer> make(size_t size) {
    auto one = std::make_unique<Buffer>(device_, size);
    idle_->expect(++made_);
    return one;
  }

  Device& device_;
  size_t made_ = 0;
  std::shared_ptr<idle_buffers> idle_ = std::make_shared<idle_buffers>();
};

} // namespace tessera::cuda
