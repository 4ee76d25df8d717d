#include "gpu/backend.hpp"

#include "gpu/bounds.hpp"
#include "gpu/cpu/region_field.hpp"

#include <map>
#include <mutex>

namespace tessera {

namespace {

class cpu_backend final : public backend {
public:
  cpu_backend(const mapping& map, uint64_t cap_bytes) : map_(map), pool_(cap_bytes) { map.validate(); }
  [[nodiscard]] std::string name() const override { return "cpu"; }
  void integrate(region_key region, std::span<const ray_job> jobs) override { field_of(region).integrate(jobs); }
  std::shared_ptr<const mesh> extract(region_key region) override {
    auto* field = find(region);
    return field != nullptr ? field->extract() : std::make_shared<const mesh>();
  }
  [[nodiscard]] field_stats stats(region_key region) const override {
    const auto* field = find(region);
    return field != nullptr ? field->stats() : field_stats{};
  }
  void drop(region_key region) override {
    const std::scoped_lock lock(mutex_);
    fields_.erase(region);
  }

private:
  [[nodiscard]] cpu::region_field* find(region_key region) const {
    const std::scoped_lock lock(mutex_);
    const auto at = fields_.find(region);
    return at != fields_.end() ? at->second.get() : nullptr;
  }
  cpu::region_field& field_of(region_key region) {
    const std::scoped_lock lock(mutex_);
    auto& field = fields_[region];
    if (!field)
      field = std::make_unique<cpu::region_field>(map_, region, pool_);
    return *field;
  }

  mapping map_;
  cpu::block_pool pool_;     ///< outlives the fields
  mutable std::mutex mutex_; ///< guards the index only; a region's field has one caller at a time
  std::map<region_key, std::unique_ptr<cpu::region_field>> fields_;
};

} // namespace

memory_cap_reached::memory_cap_reached(uint64_t cap_bytes)
  : text_{std::make_shared<const std::string>("the map's memory has reached its cap, memory-cap, of " + std::to_string(cap_bytes)
                                              + " bytes (" + std::to_string(cap_bytes >> 20) + " MiB)")} {}

std::unique_ptr<backend> make_cpu_backend(const mapping& map, uint64_t cap_bytes) {
  return std::make_unique<cpu_backend>(map, cap_bytes);
}

} // namespace tessera
