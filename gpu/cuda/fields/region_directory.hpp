#pragma once

#include "gpu/cuda/device.hpp"
#include "gpu/cuda/device/buffer.hpp"
#include "gpu/cuda/fields/field_view.hpp"
#include "messages/ids.hpp"

#include <algorithm>
#include <bit>
#include <utility>
#include <vector>

namespace tessera::cuda {

/// Which region has which slot: an open-addressing table on the device, which the host alone writes, change by change. Threads:
/// one.
template <device_like Device>
class region_directory {
public:
  using stream = typename Device::stream;
  region_directory(Device& device, stream& work, uint32_t slots, int32_t region_voxels)
    : region_voxels_(region_voxels), stream_(work), size_(std::bit_ceil(slots * 2)), names_(size_),
      table_(device, size_t{size_} * (sizeof(uint64_t) + sizeof(uint32_t)) + size_t{slots} * 3 * sizeof(int32_t)),
      changed_(device, slots + 64), changed_up_(device, slots + 64) {}

  /// The device does not know of the last changes yet.
  [[nodiscard]] bool has_news() const { return cleared_ || !changes_.empty(); }
  [[nodiscard]] uint32_t mask() const { return size_ - 1; }
  // On the device: see field_view.
  [[nodiscard]] uint64_t* names() const { return reinterpret_cast<uint64_t*>(table_.data()); }
  [[nodiscard]] uint32_t* slots() const { return reinterpret_cast<uint32_t*>(names() + size_); }
  [[nodiscard]] int32_t* origins() const { return reinterpret_cast<int32_t*>(slots() + size_); }

  /// Enters a region that is not in it. False if places are wanting: clear() then, and enter all.
  [[nodiscard]] bool enter(region_key key, uint32_t slot) {
    if (4 * (entered_ + 1) > 3 * size_)
      return false;
    const uint64_t name = region_name(key.x, key.y, key.z);
    uint32_t at = directory_start(name) & mask();
    while (names_[at] != 0)
      at = (at + 1) & mask();
    names_[at] = name;
    ++entered_;
    changes_.push_back({name, at, slot, {key.x * region_voxels_, key.y * region_voxels_, key.z * region_voxels_}});
    return true;
  }
  /// The place is not used again until all is made anew: searches for others go on behind it.
  void leave(region_key key) {
    const uint64_t name = region_name(key.x, key.y, key.z);
    uint32_t at = directory_start(name) & mask();
    while (names_[at] != name)
      at = (at + 1) & mask();
    names_[at] = nobody;
    // One change a place: the device makes them in any order.
    std::erase_if(changes_, [at](const directory_change& c) { return c.at == at; });
    changes_.push_back({nobody, at, no_slot, {0, 0, 0}});
  }
  void clear() {
    changes_.clear();
    std::fill(names_.begin(), names_.end(), 0);
    entered_ = 0;
    cleared_ = true;
  }

  /// Tells the device what has changed. What uses the directory may be under way: it comes first, being on the same stream.
  void publish() {
    if (std::exchange(cleared_, false))
      stream_.fill(table_.data(), size_t{size_} * sizeof(uint64_t), 0);
    if (changes_.empty())
      return;
    if (changes_.size() > changed_up_.size() - told_) {
      stream_.wait(); // earlier ones may still be on their way
      told_ = 0;
      changed_.ensure(changes_.size());
      changed_up_.ensure(changes_.size());
    }
    directory_change* up = changed_up_.data() + told_;
    std::copy(changes_.begin(), changes_.end(), up);
    told_ += changes_.size();
    stream_.upload(changed_.data(), up, changes_.size() * sizeof(directory_change));
    stream_.launch(changes_.size(), change_directory{changed_.data(), names(), slots(), origins()});
    changes_.clear();
  }

private:
  int32_t region_voxels_;
  stream& stream_;
  uint32_t size_;
  // The table as the device has it, once it was told of the changes.
  std::vector<uint64_t> names_;
  uint32_t entered_ = 0; ///< places that are not 0
  bool cleared_ = true;
  std::vector<directory_change> changes_;
  size_t told_ = 0; ///< of changed_up_, that may still be on their way
  device_buffer<Device, uint8_t> table_;
  device_buffer<Device, directory_change> changed_;
  pinned_buffer<Device, directory_change> changed_up_;
};

} // namespace tessera::cuda
