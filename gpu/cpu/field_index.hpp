#pragma once

#include "gpu/cpu/block_pool.hpp"
#include "gpu/cpu/region_field.hpp"
#include "gpu/map_settings.hpp"
#include "gpu/region_image.hpp"
#include "messages/ids.hpp"

#include <map>
#include <memory>
#include <mutex>
#include <utility>

namespace tessera::cpu {

/// The fields of all regions that have one, under one cap. Threads: any, as long as no two work on one region at once.
class field_index {
public:
  field_index(const map_settings& map, uint64_t cap_bytes) : map_(map), pool_(cap_bytes) {}

  /// Null if there is none.
  [[nodiscard]] region_field* find(region_key region) const {
    const std::scoped_lock lock(mutex_);
    const auto at = fields_.find(region);
    return at != fields_.end() ? at->second.get() : nullptr;
  }
  region_field& find_or_make(region_key region) {
    const std::scoped_lock lock(mutex_);
    const auto at = fields_.find(region);
    return at != fields_.end() ? *at->second : *fields_.emplace(region, make(region)).first->second;
  }
  /// Throws std::invalid_argument for an image that is none of the region, and std::bad_alloc: the region is as before then.
  void load(region_key region, const region_image& image) {
    check_image(map_, region, image);
    auto field = make(region);
    field->load(image);
    const std::scoped_lock lock(mutex_);
    std::swap(fields_[region], field); // the old one goes, without the lock
  }
  void drop(region_key region) {
    std::unique_ptr<region_field> gone;
    const std::scoped_lock lock(mutex_);
    if (const auto at = fields_.find(region); at != fields_.end()) {
      gone = std::move(at->second);
      fields_.erase(at);
    }
  }
  void drop_if_empty(region_key region) {
    if (const auto* field = find(region); field != nullptr && field->empty())
      drop(region);
  }
  [[nodiscard]] uint64_t blocks() const { return pool_.blocks(); }
  [[nodiscard]] uint64_t regions() const {
    const std::scoped_lock lock(mutex_);
    return fields_.size();
  }

private:
  [[nodiscard]] std::unique_ptr<region_field> make(region_key region) {
    return std::make_unique<region_field>(map_, region, pool_);
  }

  const map_settings map_;
  block_pool pool_; ///< outlives the fields
  mutable std::mutex mutex_;
  std::map<region_key, std::unique_ptr<region_field>> fields_;
};

} // namespace tessera::cpu
