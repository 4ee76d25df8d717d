#pragma once

#include "gpu/bounds.hpp"
#include "gpu/cuda/device.hpp"
#include "gpu/cuda/device/buffer.hpp"
#include "gpu/cuda/fields/block_kernels.hpp"
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
  bool changed = false;                  ///< since it was last meshed
  bool surrounded = false;               ///< those around it were preallocated
  std::list<region_key>::iterator place; ///< in the order of use, while it is on the device
  region_image evicted;                  ///< its blocks while they lie in host memory
  std::shared_ptr<const mesh> surface = std::make_shared<const mesh>();
};

/// The blocks of all regions: which region has which, on the device or in host memory. Threads: one.
template <device_like Device>
class region_store {
public:
  using stream = typename Device::stream;
  using keys = std::vector<region_key>;

  region_store(Device& device, stream& work, const map_settings& map, const field_options& options)
    : options_(options), region_voxels_(static_cast<int32_t>(map.region_voxels)), stream_(work), edge_(map.region_voxels / 8 + 1),
      table_size_(edge_ * edge_ * edge_), blocks_(block_count(options)), slots_(slot_count(options, table_size_)),
      free_blocks_(blocks_), keys_(slots_), directory_(device, work, slots_, region_voxels_),
      tables_(device, size_t{slots_} * table_size_), words_(device, size_t{blocks_} * 512), free_(device, blocks_),
      free_count_(device, 1), slots_here_(device), slots_up_(device), listed_(device, 1024), listed_down_(device), place_(device),
      state_(device, 1), state_down_(device, 1), entries_(device), entries_up_(device), transfer_(device, transfer_blocks * 512),
      transfer_host_(device, transfer_blocks * 512) {
    clear();
  }

  /// Forgets all regions. Nothing that uses them may be under way.
  void clear() {
    regions_.clear();
    order_.clear();
    directory_.clear();
    preallocated_ = 0;
    evicted_bytes_ = 0;
    free_blocks_ = blocks_;
    free_slots_.resize(slots_);
    std::iota(free_slots_.rbegin(), free_slots_.rend(), 0u);
    stream_.fill(tables_.data(), size_t{slots_} * table_size_ * sizeof(uint32_t), 0);
    stream_.fill(words_.data(), size_t{blocks_} * 512 * sizeof(voxel_words), 0);
    stream_.launch(blocks_, fill_free_stack{free_.data(), blocks_});
    tell_free_count();
    stream_.wait();
  }

  /// The next view() tells the device of regions that have come or gone.
  [[nodiscard]] bool has_news() const { return directory_.has_news(); }
  /// For kernels that come after what was asked of this object.
  [[nodiscard]] field_view view() {
    directory_.publish();
    return {tables_.data(),       words_.data(),      free_.data(),
            free_count_.data(),   directory_.names(), directory_.slots(),
            directory_.origins(), directory_.mask(),  edge_,
            table_size_,          region_voxels_,     region_voxels_ + lattice::apron};
  }
  [[nodiscard]] uint32_t table_size() const { return table_size_; }
  [[nodiscard]] uint32_t blocks() const { return blocks_; }
  [[nodiscard]] uint32_t slots() const { return slots_; }
  /// So many blocks were left by a batch that is done.
  void set_free_blocks(uint32_t blocks) { free_blocks_ = blocks; }
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
    if (keep.size() > slots_)
      throw pool_too_small("at least " + std::to_string(keep.size())
                           + " regions are written to at once, and the pool (memory-pool, " + bytes_text(options_.pool_bytes)
                           + ") has tables for " + std::to_string(slots_));
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
    for (int32_t n = 0; n < 27 && 2 * free_slots_.size() > slots_; ++n) {
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
  /// A batch, which is about the regions `keep`, made `made` blocks and then found none left. Evicts other regions, the least
  /// recently touched first, until there are as many and some more. `some`: others have left since, so that there may be more
  /// room already. If none has, and not one can leave, takes the blocks back that are all zero, those that were made for the
  /// batch and others. Throws std::bad_alloc if these are no more than it made: doing it again would find none left again.
  /// pool_too_small: although it had all that there are.
  void make_more_room(uint64_t made, const std::set<region_key>& keep, bool some) {
    for (const uint64_t blocks = made / 2 + 16; free_blocks_ < blocks || !some; some = true)
      if (!evict_one(keep))
        break;
    if (some)
      return;
    (void)release_unused({keep.begin(), keep.end()});
    if (free_blocks_ > made)
      return;
    if (free_blocks_ == blocks_)
      throw pool_too_small("more than " + std::to_string(blocks_)
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
      release(key, at->second);
    forget_evicted(at->second);
    regions_.erase(at);
  }

  /// A region's field as it is. Throws std::bad_alloc.
  [[nodiscard]] region_image image_of(region_key key) {
    const region_record* region = find(key);
    if (region == nullptr)
      return {};
    return region->slot == region_record::nowhere ? region->evicted : copy_out_listed(list({key}));
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
        release(key, region);
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
    region.changed = true;
  }

  /// Puts the slots of regions into device memory, and room for a list of their blocks.
  void choose(const keys& which) {
    slots_here_.ensure(which.size());
    slots_up_.ensure(which.size());
    for (size_t i = 0; i < which.size(); ++i)
      slots_up_[i] = slot_of(which[i]);
    stream_.upload(slots_here_.data(), slots_up_.data(), which.size() * sizeof(uint32_t));
    place_.ensure(which.size() * table_size_);
  }
  /// Lists the blocks of regions that are on the device. The list is good until the next call, and until its regions change.
  /// Returns its length after waiting for it.
  uint32_t list(const keys& which) {
    choose(which);
    for (;;) {
      stream_.fill(state_.data(), sizeof(batch_state), 0);
      stream_.launch(which.size() * table_size_, list_blocks{view(), listing()});
      stream_.download(state_down_.data(), state_.data(), sizeof(batch_state));
      stream_.wait();
      if (state_down_[0].wanted <= listed_.size())
        return state_down_[0].listed;
      listed_.ensure(state_down_[0].wanted);
    }
  }
  /// Forgets the list, so that a kernel can make it again.
  void clear_listing() { stream_.fill(state_.data(), sizeof(batch_state), 0); }
  /// The list last made, for kernels.
  [[nodiscard]] block_list listing() const {
    return {slots_here_.data(), listed_.data(), place_.data(), static_cast<uint32_t>(listed_.size()), state_.data()};
  }

  [[nodiscard]] memory_status status() const {
    memory_status out;
    out.has_pool = true;
    out.blocks = blocks_;
    out.free_blocks = free_blocks_;
    out.regions_here = order_.size() - preallocated_;
    out.regions_evicted = regions_.size() - order_.size();
    out.evicted_bytes = evicted_bytes_;
    out.evictions = evictions_;
    out.page_ins = page_ins_;
    return out;
  }

private:
  static constexpr size_t transfer_blocks = 256; ///< copied at once when a region moves

  static uint32_t block_count(const field_options& o) {
    const uint64_t blocks = o.pool_bytes / (512 * sizeof(voxel_words));
    if (blocks == 0)
      throw std::invalid_argument("a pool of " + std::to_string(o.pool_bytes) + " bytes holds no block of 12288 bytes");
    return static_cast<uint32_t>(std::min<uint64_t>(blocks, uint64_t{1} << 28));
  }
  /// No more tables than a sixteenth of the pool's memory, but enough for a few regions.
  static uint32_t slot_count(const field_options& o, uint32_t table_size) {
    const uint64_t fit = o.pool_bytes / 16 / (table_size * sizeof(uint32_t));
    return static_cast<uint32_t>(std::clamp<uint64_t>(fit, std::min(64u, o.most_regions), o.most_regions));
  }

  static std::string bytes_text(uint64_t bytes) {
    return std::to_string(bytes) + " bytes, " + std::to_string(bytes >> 20) + " MiB";
  }
  /// No region that need not stay can leave.
  [[nodiscard]] no_room full() const {
    return no_room("what is written to at once needs more than is free of the GPU's pool (memory-pool, "
                   + bytes_text(options_.pool_bytes) + "), and nothing else can leave it: " + std::to_string(evicted_bytes_)
                   + " bytes of regions are in host memory (host-memory, " + bytes_text(options_.host_bytes) + ')');
  }

  /// Gives a region that has none a slot, and the blocks of an image.
  void load(region_key key, region_record& region, const region_image& image, const std::set<region_key>& keep) {
    const auto blocks = static_cast<uint32_t>(image.blocks.size());
    while (free_slots_.empty() || free_blocks_ < blocks)
      if (!evict_one(keep) && (free_slots_.empty() || release_unused({keep.begin(), keep.end()}) == 0))
        throw full();
    if (blocks != 0)
      copy_in_blocks(image, free_slots_.back());
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

  /// Gives a region a slot, of which there is one.
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

  void copy_in_blocks(const region_image& image, uint32_t slot) {
    const auto blocks = static_cast<uint32_t>(image.blocks.size());
    entries_.ensure(blocks);
    entries_up_.ensure(blocks);
    for (uint32_t i = 0; i < blocks; ++i)
      entries_up_[i] = slot * table_size_ + image.blocks[i];
    stream_.upload(entries_.data(), entries_up_.data(), blocks * sizeof(uint32_t));
    stream_.launch(blocks, adopt_blocks{view(), entries_.data(), free_blocks_});
    for (size_t first = 0; first < blocks; first += transfer_blocks) {
      const size_t count = std::min<size_t>(transfer_blocks, blocks - first) * 512;
      std::copy_n(image.voxels.data() + first * 512, count, transfer_host_.data());
      stream_.upload(transfer_.data(), transfer_host_.data(), count * sizeof(voxel_words));
      stream_.launch(count, copy_in{view(), free_blocks_, first, transfer_.data()});
      stream_.wait();
    }
    free_blocks_ -= blocks;
    tell_free_count();
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
    auto& [key, region] = *oldest;
    const uint32_t blocks = list({key});
    const uint64_t bytes = blocks * (sizeof(uint32_t) + 512 * sizeof(voxel_words));
    if (bytes != 0 && evicted_bytes_ + bytes > options_.host_bytes)
      return false;
    try {
      region.evicted = copy_out_listed(blocks);
    } catch (const std::bad_alloc&) {
      return false;
    }
    release_listed(blocks, region);
    evicted_bytes_ += bytes;
    ++evictions_;
    ++departures_;
    return true;
  }

  /// Copies out the blocks of the one region that was listed last.
  region_image copy_out_listed(uint32_t blocks) {
    region_image out{std::vector<uint32_t>(blocks), std::vector<voxel_words>(size_t{blocks} * 512)};
    std::vector<uint32_t> order(blocks), place(blocks); // of the list, ascending; of a listed block, in the image
    listed_down_.ensure(blocks);
    stream_.download(listed_down_.data(), listed_.data(), blocks * sizeof(listed_block));
    for (size_t first = 0; first < blocks; first += transfer_blocks) {
      const size_t count = std::min<size_t>(transfer_blocks, blocks - first);
      stream_.launch(count * 512, copy_out{view(), listing(), first, transfer_.data()});
      stream_.download(transfer_host_.data(), transfer_.data(), count * 512 * sizeof(voxel_words));
      stream_.wait();
      if (first == 0) { // the list has come, too
        std::iota(order.begin(), order.end(), 0u);
        std::sort(order.begin(), order.end(),
                  [this](uint32_t a, uint32_t b) { return listed_down_[a].entry < listed_down_[b].entry; });
        for (uint32_t i = 0; i < blocks; ++i) {
          out.blocks[i] = listed_down_[order[i]].entry;
          place[order[i]] = i;
        }
      }
      for (size_t i = 0; i < count; ++i)
        std::copy_n(transfer_host_.data() + i * 512, 512, out.voxels.data() + size_t{place[first + i]} * 512);
    }
    return out;
  }

  void release(region_key key, region_record& region) { release_listed(list({key}), region); }
  void release_listed(uint32_t blocks, region_record& region) {
    stream_.launch(size_t{blocks} * 512, release_blocks{view(), listing(), nullptr});
    stream_.wait();
    free_blocks_ += blocks;
    displace(region);
  }
  /// Blocks of these regions that are all zero become unused. Returns how many.
  uint32_t release_unused(const keys& which) {
    keys here;
    for (const region_key key : which)
      if (const region_record* region = find(key); region != nullptr && region->slot != region_record::nowhere)
        here.push_back(key);
    const uint32_t blocks = list(here);
    entries_.ensure(blocks);
    entries_up_.ensure(1);
    stream_.fill(entries_.data(), blocks * sizeof(uint32_t), 0);
    stream_.launch(size_t{blocks} * 8, find_used{view(), listing(), entries_.data()});
    stream_.launch(size_t{blocks} * 512, release_blocks{view(), listing(), entries_.data()});
    stream_.download(entries_up_.data(), free_count_.data(), sizeof(uint32_t));
    stream_.wait();
    return entries_up_[0] - std::exchange(free_blocks_, entries_up_[0]);
  }
  void tell_free_count() { stream_.launch(1, set_free_count{free_count_.data(), free_blocks_}); }

  field_options options_;
  int32_t region_voxels_;
  stream& stream_;
  uint32_t edge_, table_size_, blocks_, slots_, free_blocks_;
  std::vector<region_key> keys_; ///< by slot
  region_directory<Device> directory_;
  device_buffer<Device, uint32_t> tables_;
  device_buffer<Device, voxel_words> words_;
  device_buffer<Device, uint32_t> free_;
  device_buffer<Device, uint32_t> free_count_;
  device_buffer<Device, uint32_t> slots_here_;
  pinned_buffer<Device, uint32_t> slots_up_;
  device_buffer<Device, listed_block> listed_;
  pinned_buffer<Device, listed_block> listed_down_;
  device_buffer<Device, uint32_t> place_;
  device_buffer<Device, batch_state> state_;
  pinned_buffer<Device, batch_state> state_down_;
  device_buffer<Device, uint32_t> entries_;
  pinned_buffer<Device, uint32_t> entries_up_;
  device_buffer<Device, voxel_words> transfer_;
  pinned_buffer<Device, voxel_words> transfer_host_;
  std::map<region_key, region_record> regions_;
  std::list<region_key> order_; ///< on the device, the least recently used first
  size_t preallocated_ = 0;     ///< of them, that no batch has used
  std::vector<uint32_t> free_slots_;
  uint64_t evicted_bytes_ = 0, evictions_ = 0, page_ins_ = 0, departures_ = 0; ///< departures: those without blocks included
};

} // namespace tessera::cuda
