#pragma once

#include "gpu/cpu/block_pool.hpp"
#include "gpu/cpu/region_entry.hpp"
#include "gpu/map_settings.hpp"
#include "gpu/region_image.hpp"
#include "messages/ids.hpp"

#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace tessera::cpu {

/// All regions that have a field, under one cap. Threads: any, as long as no two work on one region at once.
class field_index {
public:
  /// A cap of 0 bytes is none.
  field_index(const map_settings& map, uint64_t cap_bytes) : map_(map), cap_bytes_(cap_bytes), pool_(cap_bytes) {}

  /// Null if there is none.
  [[nodiscard]] region_entry* find(region_key region) const {
    const std::scoped_lock lock(mutex_);
    const auto at = regions_.find(region);
    return at != regions_.end() ? at->second.get() : nullptr;
  }
  region_entry& find_or_make(region_key region) {
    const std::scoped_lock lock(mutex_);
    const auto at = regions_.find(region);
    return at != regions_.end() ? *at->second : *regions_.emplace(region, make(region)).first->second;
  }
  /// Throws std::invalid_argument for an image that is none of the region, and std::bad_alloc: the region is as before then.
  void load(region_key region, const region_image& image) {
    check_image(map_, region, image);
    auto entry = make(region);
    entry->field.load(image);
    const std::scoped_lock lock(mutex_);
    std::swap(regions_[region], entry); // the old one goes, without the lock
  }
  /// As load(), of what is there and the image together.
  void add(region_key region, const region_image& image) {
    check_image(map_, region, image);
    if (auto* entry = find(region))
      entry->field.add(image);
    else
      load(region, image);
  }
  void drop(region_key region) {
    std::unique_ptr<region_entry> gone;
    const std::scoped_lock lock(mutex_);
    if (const auto at = regions_.find(region); at != regions_.end()) {
      gone = std::move(at->second);
      regions_.erase(at);
    }
  }
  void drop_if_empty(region_key region) {
    if (const auto* entry = find(region); entry != nullptr && entry->field.empty())
      drop(region);
  }
  [[nodiscard]] uint64_t cap_bytes() const { return cap_bytes_; }
  [[nodiscard]] uint64_t blocks() const { return pool_.blocks(); }
  /// In their order.
  [[nodiscard]] std::vector<region_key> keys() const {
    const std::scoped_lock lock(mutex_);
    std::vector<region_key> out;
    out.reserve(regions_.size());
    for (const auto& [key, entry] : regions_)
      out.push_back(key);
    return out;
  }
  [[nodiscard]] uint64_t regions() const {
    const std::scoped_lock lock(mutex_);
    return regions_.size();
  }

private:
  [[nodiscard]] std::unique_ptr<region_entry> make(region_key region) {
    return std::make_unique<region_entry>(map_, region, pool_);
  }

  const map_settings map_;
  const uint64_t cap_bytes_;
  block_pool pool_; ///< outlives the regions
  mutable std::mutex mutex_;
  std::map<region_key, std::unique_ptr<region_entry>> regions_;
};

} // namespace tessera::cpu
