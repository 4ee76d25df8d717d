#pragma once

#include "gpu/bounds.hpp"
#include "gpu/cuda/fields/block_store.hpp"
#include "gpu/cuda/fields/field_options.hpp"
#include "gpu/cuda/fields/region_directory.hpp"
#include "gpu/fields.hpp"

#include <algorithm>
#include <list>
#include <map>
#include <new>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace tessera::cuda {

/// A region as the host knows it.
struct region_record {
  static constexpr uint32_t nowhere = UINT32_MAX;
  uint32_t slot = nowhere;               ///< its table on the device; nowhere while it is evicted
  uint64_t touched = 0;                  ///< the last batch that used it; 0: none has, it is preallocated alone
  uint64_t version = 0;                  ///< of its voxels: no two that differ have the same; 0: nothing was ever written
  bool surrounded = false;               ///< those around it were preallocated
  std::list<region_key>::iterator place; ///< in the order of use, while it is on the device
  region_image evicted;                  ///< its blocks while they lie in host memory
};

/// The fields of all regions: which lie on the device, and which were evicted into host memory. Threads: one.
template <device_like Device>
class region_store {
public:
  using stream = typename Device::stream;
  using keys = std::vector<region_key>;

  region_store(Device& device, stream& work, const map_settings& map, const field_options& options)
    : options_(options), blocks_(device, work, map, options), keys_(blocks_.slots()),
      directory_(device, work, blocks_.slots(), static_cast<int32_t>(map.region_voxels)) {
    clear();
  }

  /// Forgets all regions. Nothing that uses them may be under way.
  void clear() {
    regions_.clear();
    order_.clear();
    directory_.clear();
    preallocated_ = 0;
    evicted_bytes_ = 0;
    free_slots_.resize(blocks_.slots());
    std::iota(free_slots_.rbegin(), free_slots_.rend(), 0u);
    blocks_.clear();
  }

  /// The next view() tells the device of regions that have come or gone.
  [[nodiscard]] bool has_news() const { return directory_.has_news(); }
  /// For kernels that come after what was asked of this object.
  [[nodiscard]] field_view view() {
    directory_.publish();
    field_view out = blocks_.view();
    out.names = directory_.names();
    out.slots = directory_.slots();
    out.origins = directory_.origins();
    out.directory_mask = directory_.mask();
    return out;
  }
  [[nodiscard]] uint32_t table_size() const { return blocks_.table_size(); }
  [[nodiscard]] uint32_t blocks() const { return blocks_.blocks(); }
  [[nodiscard]] uint32_t slots() const { return blocks_.slots(); }
  /// So many blocks were left by a batch that is done.
  void set_free_blocks(uint32_t blocks) { blocks_.set_free_blocks(blocks); }
  /// The region that has a slot.
  [[nodiscard]] region_key key_of(uint32_t slot) const { return keys_.at(slot); }
  [[nodiscard]] uint32_t slot_of(region_key key) const { return regions_.at(key).slot; }

  [[nodiscard]] region_record* find(region_key key) {
    const auto at = regions_.find(key);
    return at != regions_.end() ? &at->second : nullptr;
  }
  /// Has all these regions on the device, those that there are not yet as empty ones; others may be evicted for it. Throws
  /// std::bad_alloc if they do not all fit: then some may have moved, but none has changed. pool_too_small: they never will.
  void page_in(const keys& wanted, uint64_t batch) {
    const std::set<region_key> keep(wanted.begin(), wanted.end());
    if (keep.size() > slots())
      throw pool_too_small("at least " + std::to_string(keep.size())
                           + " regions are written to at once, and the pool (memory-pool, " + bytes_text(options_.pool_bytes)
                           + ") has tables for " + std::to_string(slots()));
    for (const region_key key : keep) {
      auto [at, fresh] = regions_.try_emplace(key);
      region_record& region = at->second;
      if (region.slot == region_record::nowhere) {
        try {
          load(key, region, region.evicted, keep);
        } catch (...) {
          if (fresh)
            regions_.erase(at);
          throw;
        }
        page_ins_ += region.evicted.blocks.empty() ? 0 : 1;
        forget_evicted(region);
      }
      touch(region, batch);
    }
  }

  /// A region's voxels were written to.
  void note_change(region_record& region) { region.version = ++versions_; }
  /// A batch used a region that is on the device.
  void touch(region_record& region, uint64_t batch) {
    if (region.touched == 0)
      --preallocated_;
    region.touched = batch;
    order_.splice(order_.end(), order_, region.place);
  }

  /// Those around a region are likely to be next. Gives them tables now, all empty, as long as half of the tables are unused: a
  /// keyframe that comes to a region without one is done twice. `wanted` says of a region whether it belongs to this device.
  /// Others that use the fields may be under way.
  template <class Wanted>
  void preallocate_around(region_key key, region_record& middle, Wanted wanted) {
    if (std::exchange(middle.surrounded, true))
      return;
    for (int32_t n = 0; n < 27 && 2 * free_slots_.size() > slots(); ++n) {
      const region_key next{key.x + n % 3 - 1, key.y + n / 3 % 3 - 1, key.z + n / 9 - 1};
      if (!wanted(next))
        continue;
      const auto [at, fresh] = regions_.try_emplace(next);
      if (fresh)
        place_region(next, at->second, order_.begin());
    }
  }

  /// How many regions have left the device so far, those without blocks included.
  [[nodiscard]] uint64_t departures() const { return departures_; }
  /// Makes room for a batch that ran out of blocks.
  /// - `made`: how many blocks the batch made before it found none left. `keep`: the regions that it is about, which stay.
  /// - Evicts other regions, the least recently touched first, until so many blocks are free and some more.
  /// - `some`: others have left since, so that there may be room already. If none has, and none can leave, takes back all blocks
  ///   that are all zero, those that the batch made among them.
  /// Throws std::bad_alloc if these are no more than it made, since a second attempt would end in the same way; pool_too_small if
  /// the batch had all blocks that there are.
  void make_more_room(uint64_t made, const std::set<region_key>& keep, bool some) {
    for (const uint64_t enough = made / 2 + 16; blocks_.free_blocks() < enough || !some; some = true)
      if (!evict_one(keep))
        break;
    if (some)
      return;
    (void)release_unused({keep.begin(), keep.end()});
    if (blocks_.free_blocks() > made)
      return;
    if (blocks_.free_blocks() == blocks())
      throw pool_too_small("more than " + std::to_string(blocks())
                           + " blocks of 12288 bytes are written to at once, which is all that " + "the pool (memory-pool, "
                           + bytes_text(options_.pool_bytes) + ") holds");
    throw full();
  }

  void drop(region_key key) {
    const auto at = regions_.find(key);
    if (at == regions_.end())
      return;
    if (at->second.slot != region_record::nowhere && at->second.touched == 0)
      return forget(at);
    if (at->second.slot != region_record::nowhere)
      release(at->second);
    forget_evicted(at->second);
    regions_.erase(at);
  }

  /// A region's field as it is. Throws std::bad_alloc.
  [[nodiscard]] region_image image_of(region_key key) {
    const region_record* region = find(key);
    if (region == nullptr)
      return {};
    return region->slot == region_record::nowhere ? region->evicted : blocks_.image_of(region->slot);
  }
  /// Makes a region's field what a good image says (check_image()). Throws std::bad_alloc if there is no room: then some regions
  /// may have moved, but none has changed.
  void take_image(region_key key, const region_image& image, uint64_t batch) {
    if (image.blocks.empty())
      return drop(key);
    const auto [at, fresh] = regions_.try_emplace(key);
    region_record& region = at->second;
    region_image before; // of one that is on the device: its blocks make room for the new ones
    try {
      if (region.slot != region_record::nowhere) {
        before = image_of(key);
        release(region);
      }
      load(key, region, image, {key});
    } catch (const std::bad_alloc&) {
      if (!before.blocks.empty())
        put_back(key, region, std::move(before), batch);
      else if (region.slot == region_record::nowhere && region.evicted.blocks.empty())
        regions_.erase(at);
      throw;
    }
    forget_evicted(region);
    touch(region, batch);
    note_change(region);
  }

  /// Lists the blocks of regions that are on the device: see block_store.
  uint32_t list(const keys& which) { return blocks_.list(slots_of(which)); }
  [[nodiscard]] block_list listing() const { return blocks_.listing(); }

  [[nodiscard]] memory_status status() const {
    memory_status out;
    out.has_pool = true;
    out.blocks = blocks();
    out.free_blocks = blocks_.free_blocks();
    out.regions_here = order_.size() - preallocated_;
    out.regions_evicted = regions_.size() - order_.size();
    out.evicted_bytes = evicted_bytes_;
    out.evictions = evictions_;
    out.page_ins = page_ins_;
    return out;
  }

private:
  static std::string bytes_text(uint64_t bytes) {
    return std::to_string(bytes) + " bytes, " + std::to_string(bytes >> 20) + " MiB";
  }
  /// The error for when nothing more can be evicted.
  [[nodiscard]] no_room full() const {
    return no_room("what is written to at once needs more than is free of the GPU's pool (memory-pool, "
                   + bytes_text(options_.pool_bytes) + "), and nothing else can leave it: " + std::to_string(evicted_bytes_)
                   + " bytes of regions are in host memory (host-memory, " + bytes_text(options_.host_bytes) + ')');
  }

  /// Gives a region that has none a slot, and the blocks of an image.
  void load(region_key key, region_record& region, const region_image& image, const std::set<region_key>& keep) {
    const auto blocks = static_cast<uint32_t>(image.blocks.size());
    while (free_slots_.empty() || blocks_.free_blocks() < blocks)
      if (!evict_one(keep) && (free_slots_.empty() || release_unused({keep.begin(), keep.end()}) == 0))
        throw full();
    if (blocks != 0)
      blocks_.insert(free_slots_.back(), image);
    place_region(key, region, order_.end());
  }
  /// A region that was on the device, and made room for something that did not come. It may stay in host memory: that is no loss.
  void put_back(region_key key, region_record& region, region_image image, uint64_t batch) {
    region.evicted = std::move(image);
    evicted_bytes_ += region.evicted.bytes();
    try {
      page_in({key}, batch);
    } catch (const std::bad_alloc&) {
    }
  }
  void forget_evicted(region_record& region) {
    evicted_bytes_ -= region.evicted.bytes();
    region.evicted = {};
  }

  /// Assigns a slot to a region. One must be free.
  void place_region(region_key key, region_record& region, std::list<region_key>::iterator before) {
    const uint32_t slot = free_slots_.back();
    region.place = order_.insert(before, key);
    preallocated_ += region.touched == 0;
    free_slots_.pop_back();
    region.slot = slot;
    keys_[slot] = key;
    if (!directory_.enter(key, slot))
      make_directory_anew();
  }
  void make_directory_anew() {
    directory_.clear();
    for (const region_key key : order_)
      (void)directory_.enter(key, slot_of(key)); // half of its places are enough for all slots
  }
  /// Takes the slot of a region back.
  void displace(region_record& region) {
    preallocated_ -= region.touched == 0;
    order_.erase(region.place);
    free_slots_.push_back(region.slot);
    directory_.leave(keys_[region.slot]);
    region.slot = region_record::nowhere;
  }
  /// A region that was only preallocated is not needed.
  void forget(typename std::map<region_key, region_record>::iterator at) {
    displace(at->second);
    regions_.erase(at);
  }

  /// Evicts the least recently touched region that need not stay. False if there is none, or the host has no room for it.
  bool evict_one(const std::set<region_key>& keep) {
    const auto found = std::find_if(order_.begin(), order_.end(), [&keep](region_key key) { return !keep.contains(key); });
    if (found == order_.end())
      return false;
    const auto oldest = regions_.find(*found);
    if (oldest->second.touched == 0) {
      forget(oldest);
      ++departures_;
      return true;
    }
    region_record& region = oldest->second;
    const uint32_t blocks = blocks_.list({region.slot});
    const uint64_t bytes = blocks * (sizeof(uint32_t) + 512 * sizeof(voxel_words));
    if (bytes != 0 && evicted_bytes_ + bytes > options_.host_bytes)
      return false;
    try {
      region.evicted = blocks_.image_of_listed(blocks);
    } catch (const std::bad_alloc&) {
      return false;
    }
    blocks_.release_listed(blocks);
    displace(region);
    evicted_bytes_ += bytes;
    ++evictions_;
    ++departures_;
    return true;
  }

  void release(region_record& region) {
    blocks_.release(region.slot);
    displace(region);
  }
  /// Blocks of these regions that are all zero become unused. Returns how many.
  uint32_t release_unused(const keys& which) {
    keys here;
    for (const region_key key : which)
      if (const region_record* region = find(key); region != nullptr && region->slot != region_record::nowhere)
        here.push_back(key);
    return blocks_.release_unused(slots_of(here));
  }
  [[nodiscard]] std::vector<uint32_t> slots_of(const keys& which) const {
    std::vector<uint32_t> out;
    for (const region_key key : which)
      out.push_back(slot_of(key));
    return out;
  }

  field_options options_;
  block_store<Device> blocks_;
  std::vector<region_key> keys_; ///< by slot
  region_directory<Device> directory_;
  std::map<region_key, region_record> regions_;
  std::list<region_key> order_; ///< on the device, the least recently used first
  size_t preallocated_ = 0;     ///< of them, that no batch has used
  std::vector<uint32_t> free_slots_;
  uint64_t evicted_bytes_ = 0, evictions_ = 0, page_ins_ = 0, departures_ = 0;
  uint64_t versions_ = 0; ///< so far
};

} // namespace tessera::cuda
