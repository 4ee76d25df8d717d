#pragma once

#include "gpu/backend.hpp"
#include "gpu/cuda/async_fields.hpp"
#include "gpu/cuda/block_kernels.hpp"
#include "gpu/cuda/buffer.hpp"
#include "gpu/cuda/device.hpp"

#include <algorithm>
#include <bit>
#include <list>
#include <map>
#include <new>
#include <set>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

namespace tessera::cuda {

/// A region whose blocks lie in host memory.
struct region_away {
  std::vector<uint32_t> entries;  ///< of its table
  std::vector<voxel_words> words; ///< 512 for each
  [[nodiscard]] uint64_t bytes() const { return entries.size() * sizeof(uint32_t) + words.size() * sizeof(voxel_words); }
};

/// A region as the host knows it.
struct region_record {
  static constexpr uint32_t nowhere = UINT32_MAX;
  uint32_t slot = nowhere;               ///< its table on the device; nowhere while it is away
  uint64_t touched = 0;                  ///< the last batch that used it; 0: none has, it is foreseen alone
  bool changed = false;                  ///< since it was last meshed
  bool surrounded = false;               ///< those around it were foreseen
  std::list<region_key>::iterator place; ///< in the order of use, while it is on the device
  region_away away;
  std::shared_ptr<const mesh> surface = std::make_shared<const mesh>();
};

/// The blocks of all regions: which region has which, on the device or in host memory. Threads: one.
template <device_like Device>
class region_store {
public:
  using stream = typename Device::stream;
  using keys = std::vector<region_key>;

  region_store(Device& device, stream& work, const mapping& map, const field_options& options)
    : options_(options), region_voxels_(static_cast<int32_t>(map.region_voxels)), stream_(work), edge_(map.region_voxels / 8 + 1),
      table_size_(edge_ * edge_ * edge_), blocks_(block_count(options)), slots_(slot_count(options, table_size_)),
      directory_size_(std::bit_ceil(slots_ * 2)), free_blocks_(blocks_), keys_(slots_), names_(directory_size_),
      tables_(device, size_t{slots_} * table_size_), words_(device, size_t{blocks_} * 512), free_(device, blocks_),
      free_count_(device, 1), directory_(device, directory_bytes()), changed_(device, slots_ + 64),
      changed_up_(device, slots_ + 64), slots_here_(device), slots_up_(device), listed_(device, 1024), listed_down_(device),
      place_(device), state_(device, 1), state_down_(device, 1), entries_(device), entries_up_(device),
      transfer_(device, transfer_blocks * 512), transfer_host_(device, transfer_blocks * 512) {
    stream_.fill(tables_.data(), size_t{slots_} * table_size_ * sizeof(uint32_t), 0);
    stream_.fill(words_.data(), size_t{blocks_} * 512 * sizeof(voxel_words), 0);
    stream_.launch(blocks_, fill_free_stack{free_.data(), blocks_});
    tell_free_count();
    stream_.wait();
    for (uint32_t s = slots_; s > 0; --s)
      free_slots_.push_back(s - 1);
  }

  /// The next view() tells the device of regions that have come or gone.
  [[nodiscard]] bool has_news() const { return cleared_ || !changes_.empty(); }
  /// For kernels that come after what was asked of this object.
  [[nodiscard]] field_view view() {
    publish_directory();
    const uint8_t* names = directory_.data();
    const uint8_t* slots = names + size_t{directory_size_} * sizeof(uint64_t);
    const uint8_t* origins = slots + size_t{directory_size_} * sizeof(uint32_t);
    return {tables_.data(),
            words_.data(),
            free_.data(),
            free_count_.data(),
            reinterpret_cast<const uint64_t*>(names),
            reinterpret_cast<const uint32_t*>(slots),
            reinterpret_cast<const int32_t*>(origins),
            directory_size_ - 1,
            edge_,
            table_size_,
            region_voxels_,
            region_voxels_ + lattice::apron};
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
  /// Has all these regions on the device, those that there are not yet as empty ones; others may leave for it. Throws
  /// std::bad_alloc if they do not all fit: then some may have moved, but none has changed.
  void bring(const keys& wanted, uint64_t batch) {
    const std::set<region_key> keep(wanted.begin(), wanted.end());
    for (const region_key key : keep) {
      auto [at, fresh] = regions_.try_emplace(key);
      region_record& region = at->second;
      if (region.slot == region_record::nowhere) {
        try {
          settle(key, region, keep);
        } catch (...) {
          if (fresh)
            regions_.erase(at);
          throw;
        }
      }
      touch(region, batch);
    }
  }

  /// A batch used a region that is on the device.
  void touch(region_record& region, uint64_t batch) {
    if (region.touched == 0)
      --foreseen_;
    region.touched = batch;
    order_.splice(order_.end(), order_, region.place);
  }

  /// Those around a region are likely to be next. Gives them tables now, all empty, as long as half of the tables are unused: a
  /// keyframe that comes to a region without one is done twice. `wanted` says of a region whether it belongs to this device.
  /// Others that use the fields may be under way.
  template <class Wanted>
  void foresee_around(region_key key, region_record& middle, Wanted wanted) {
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

  /// A batch made `made` blocks and then found none left. Sends regions away, the least recently touched first, until there are
  /// as many and some more. Throws std::bad_alloc if not one can leave; then takes the blocks back that were made for nothing.
  void make_more_room(uint64_t made, const std::set<region_key>& keep) {
    bool some = false;
    for (const uint64_t blocks = made / 2 + 16; free_blocks_ < blocks || !some; some = true)
      if (!send_one_away(keep))
        break;
    if (some)
      return;
    release_unused({keep.begin(), keep.end()});
    throw std::bad_alloc{};
  }

  void drop(region_key key) {
    const auto at = regions_.find(key);
    if (at == regions_.end())
      return;
    if (at->second.slot != region_record::nowhere && at->second.touched == 0)
      return forget(at);
    if (at->second.slot != region_record::nowhere)
      release(key, at->second);
    away_bytes_ -= at->second.away.bytes();
    regions_.erase(at);
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
    out.blocks = blocks_;
    out.free_blocks = free_blocks_;
    out.regions_here = order_.size() - foreseen_;
    out.regions_away = regions_.size() - order_.size();
    out.away_bytes = away_bytes_;
    out.moves_out = moves_out_;
    out.moves_in = moves_in_;
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

  /// Gives a region a slot, and its blocks if it has any in host memory.
  void settle(region_key key, region_record& region, const std::set<region_key>& keep) {
    const auto blocks = static_cast<uint32_t>(region.away.entries.size());
    while (free_slots_.empty())
      if (!send_one_away(keep))
        throw std::bad_alloc{};
    while (free_blocks_ < blocks)
      if (!send_one_away(keep))
        throw std::bad_alloc{};
    if (blocks != 0)
      copy_in_blocks(region.away, free_slots_.back());
    place_region(key, region, order_.end());
    if (blocks != 0) {
      away_bytes_ -= region.away.bytes();
      region.away = {};
      ++moves_in_;
    }
  }

  /// Gives a region a slot, of which there is one.
  void place_region(region_key key, region_record& region, std::list<region_key>::iterator before) {
    const uint32_t slot = free_slots_.back();
    region.place = order_.insert(before, key);
    foreseen_ += region.touched == 0;
    free_slots_.pop_back();
    region.slot = slot;
    keys_[slot] = key;
    enter(key, slot);
  }
  /// Takes the slot of a region back.
  void displace(region_record& region) {
    foreseen_ -= region.touched == 0;
    order_.erase(region.place);
    free_slots_.push_back(region.slot);
    leave(keys_[region.slot]);
    region.slot = region_record::nowhere;
  }
  /// A region that was only foreseen is not needed.
  void forget(typename std::map<region_key, region_record>::iterator at) {
    displace(at->second);
    regions_.erase(at);
  }

  void copy_in_blocks(const region_away& away, uint32_t slot) {
    const auto blocks = static_cast<uint32_t>(away.entries.size());
    entries_.ensure(blocks);
    entries_up_.ensure(blocks);
    for (uint32_t i = 0; i < blocks; ++i)
      entries_up_[i] = slot * table_size_ + away.entries[i];
    stream_.upload(entries_.data(), entries_up_.data(), blocks * sizeof(uint32_t));
    stream_.launch(blocks, adopt_blocks{view(), entries_.data(), free_blocks_});
    for (size_t first = 0; first < blocks; first += transfer_blocks) {
      const size_t count = std::min<size_t>(transfer_blocks, blocks - first) * 512;
      std::copy_n(away.words.data() + first * 512, count, transfer_host_.data());
      stream_.upload(transfer_.data(), transfer_host_.data(), count * sizeof(voxel_words));
      stream_.launch(count, copy_in{view(), free_blocks_, first, transfer_.data()});
      stream_.wait();
    }
    free_blocks_ -= blocks;
    tell_free_count();
  }

  /// Moves the least recently touched region that need not stay. False if there is none, or the host has no room for it.
  bool send_one_away(const std::set<region_key>& keep) {
    const auto found = std::find_if(order_.begin(), order_.end(), [&keep](region_key key) { return !keep.contains(key); });
    if (found == order_.end())
      return false;
    const auto oldest = regions_.find(*found);
    if (oldest->second.touched == 0) {
      forget(oldest);
      return true;
    }
    auto& [key, region] = *oldest;
    const uint32_t blocks = list({key});
    region_away away;
    const uint64_t bytes = blocks * (sizeof(uint32_t) + 512 * sizeof(voxel_words));
    if (bytes != 0 && away_bytes_ + bytes > options_.host_bytes)
      return false;
    try {
      away.entries.resize(blocks);
      away.words.resize(size_t{blocks} * 512);
      listed_down_.ensure(blocks);
    } catch (const std::bad_alloc&) {
      return false;
    }
    stream_.download(listed_down_.data(), listed_.data(), blocks * sizeof(listed_block));
    for (size_t first = 0; first < blocks; first += transfer_blocks) {
      const size_t count = std::min<size_t>(transfer_blocks, blocks - first) * 512;
      stream_.launch(count, copy_out{view(), listing(), first, transfer_.data()});
      stream_.download(transfer_host_.data(), transfer_.data(), count * sizeof(voxel_words));
      stream_.wait();
      std::copy_n(transfer_host_.data(), count, away.words.data() + first * 512);
    }
    stream_.wait();
    for (uint32_t i = 0; i < blocks; ++i)
      away.entries[i] = listed_down_[i].entry;
    release_listed(blocks, region);
    away_bytes_ += away.bytes();
    region.away = std::move(away);
    ++moves_out_;
    return true;
  }

  void release(region_key key, region_record& region) { release_listed(list({key}), region); }
  void release_listed(uint32_t blocks, region_record& region) {
    stream_.launch(size_t{blocks} * 512, release_blocks{view(), listing(), nullptr});
    stream_.wait();
    free_blocks_ += blocks;
    displace(region);
  }
  /// Blocks of these regions that are all zero become unused.
  void release_unused(const keys& which) {
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
    free_blocks_ = entries_up_[0];
  }
  void tell_free_count() { stream_.launch(1, set_free_count{free_count_.data(), free_blocks_}); }

  [[nodiscard]] size_t directory_bytes() const {
    return size_t{directory_size_} * (sizeof(uint64_t) + sizeof(uint32_t)) + size_t{slots_} * 3 * sizeof(int32_t);
  }
  /// A place in the directory for a region that has none there.
  [[nodiscard]] uint32_t place_in_directory(uint64_t name) const {
    uint32_t at = directory_start(name) & (directory_size_ - 1);
    while (names_[at] != 0)
      at = (at + 1) & (directory_size_ - 1);
    return at;
  }
  void enter(region_key key, uint32_t slot) {
    const uint64_t name = region_name(key.x, key.y, key.z);
    if (4 * (entered_ + 1) > 3 * directory_size_)
      return make_directory_anew(); // enters this one too
    const uint32_t at = place_in_directory(name);
    names_[at] = name;
    ++entered_;
    changes_.push_back({name, at, slot, {key.x * region_voxels_, key.y * region_voxels_, key.z * region_voxels_}});
  }
  /// The place is not used again until all is made anew: searches for others go on behind it.
  void leave(region_key key) {
    const uint64_t name = region_name(key.x, key.y, key.z);
    uint32_t at = directory_start(name) & (directory_size_ - 1);
    while (names_[at] != name)
      at = (at + 1) & (directory_size_ - 1);
    names_[at] = nobody;
    // One change a place: the device makes them in any order.
    std::erase_if(changes_, [at](const directory_change& c) { return c.at == at; });
    changes_.push_back({nobody, at, no_slot, {0, 0, 0}});
  }
  void make_directory_anew() {
    changes_.clear();
    std::fill(names_.begin(), names_.end(), 0);
    entered_ = 0;
    cleared_ = true;
    for (uint32_t slot = 0; slot < slots_; ++slot)
      if (const auto known = regions_.find(keys_[slot]); known != regions_.end() && known->second.slot == slot)
        enter(keys_[slot], slot);
  }
  /// Tells the device what has changed. What uses the directory may be under way: it comes first, being on the same stream.
  void publish_directory() {
    if (std::exchange(cleared_, false))
      stream_.fill(directory_.data(), size_t{directory_size_} * sizeof(uint64_t), 0);
    if (changes_.empty())
      return;
    if (changes_.size() > changed_up_.size() - changes_told_) {
      stream_.wait(); // earlier ones may still be on their way
      changes_told_ = 0;
      changed_.ensure(changes_.size());
      changed_up_.ensure(changes_.size());
    }
    directory_change* up = changed_up_.data() + changes_told_;
    std::copy(changes_.begin(), changes_.end(), up);
    changes_told_ += changes_.size();
    stream_.upload(changed_.data(), up, changes_.size() * sizeof(directory_change));
    auto* names = reinterpret_cast<uint64_t*>(directory_.data());
    auto* slots = reinterpret_cast<uint32_t*>(names + directory_size_);
    stream_.launch(changes_.size(),
                   change_directory{changed_.data(), names, slots, reinterpret_cast<int32_t*>(slots + directory_size_)});
    changes_.clear();
  }

  field_options options_;
  int32_t region_voxels_;
  stream& stream_;
  uint32_t edge_, table_size_, blocks_, slots_, directory_size_, free_blocks_;
  std::vector<region_key> keys_; ///< by slot
  // The directory as the device has it, once it was told of the changes.
  std::vector<uint64_t> names_;
  uint32_t entered_ = 0; ///< places that are not 0
  bool cleared_ = true;
  std::vector<directory_change> changes_;
  size_t changes_told_ = 0; ///< of changed_up_, that may still be on their way
  device_buffer<Device, uint32_t> tables_;
  device_buffer<Device, voxel_words> words_;
  device_buffer<Device, uint32_t> free_;
  device_buffer<Device, uint32_t> free_count_;
  device_buffer<Device, uint8_t> directory_; ///< names, slots, origins: see field_view
  device_buffer<Device, directory_change> changed_;
  pinned_buffer<Device, directory_change> changed_up_;
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
  size_t foreseen_ = 0;         ///< of them, that no batch has used
  std::vector<uint32_t> free_slots_;
  uint64_t away_bytes_ = 0, moves_out_ = 0, moves_in_ = 0;
};

} // namespace tessera::cuda
