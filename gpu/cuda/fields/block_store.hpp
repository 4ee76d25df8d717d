#pragma once

#include "gpu/cuda/device.hpp"
#include "gpu/cuda/device/buffer.hpp"
#include "gpu/cuda/fields/block_kernels.hpp"
#include "gpu/cuda/fields/field_options.hpp"
#include "gpu/fields.hpp"

#include <algorithm>
#include <new>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace tessera::cuda {

/// The memory of a device's fields: a pool of blocks, and for each slot a table of those that it has. Which region has which slot
/// is region_store's. Threads: one.
template <device_like Device>
class block_store {
public:
  using stream = typename Device::stream;
  using slot_list = std::vector<uint32_t>;

  block_store(Device& device, stream& work, const map_settings& map, const field_options& options)
    : region_voxels_(static_cast<int32_t>(map.region_voxels)), stream_(work), edge_(map.region_voxels / 8 + 1),
      table_size_(edge_ * edge_ * edge_), blocks_(block_count(options)), slots_(slot_count(options, table_size_)),
      free_blocks_(blocks_), tables_(device, size_t{slots_} * table_size_), words_(device, size_t{blocks_} * 512),
      free_(device, blocks_), free_count_(device, 1), slots_here_(device), slots_up_(device), listed_(device, 1024),
      listed_down_(device), place_(device), list_state_(device, 1), list_state_down_(device, 1), entries_(device),
      entries_up_(device), transfer_(device, transfer_blocks * 512), transfer_host_(device, transfer_blocks * 512) {}

  /// Empties all tables: no block is in use. Nothing that uses them may be under way.
  void clear() {
    free_blocks_ = blocks_;
    stream_.fill(tables_.data(), size_t{slots_} * table_size_ * sizeof(uint32_t), 0);
    stream_.fill(words_.data(), size_t{blocks_} * 512 * sizeof(voxel_words), 0);
    stream_.launch(blocks_, fill_free_stack{free_.data(), blocks_});
    tell_free_count();
    stream_.wait();
  }

  /// For kernels that look no region up by its name.
  [[nodiscard]] field_view view() const {
    field_view out{};
    out.tables = tables_.data();
    out.words = words_.data();
    out.free = free_.data();
    out.free_count = free_count_.data();
    out.edge = edge_;
    out.table_size = table_size_;
    out.region_voxels = region_voxels_;
    out.reach = region_voxels_ + lattice::apron;
    return out;
  }
  [[nodiscard]] uint32_t table_size() const { return table_size_; }
  [[nodiscard]] uint32_t blocks() const { return blocks_; }
  [[nodiscard]] uint32_t slots() const { return slots_; }
  [[nodiscard]] uint32_t free_blocks() const { return free_blocks_; }
  /// So many were left by a batch that is done.
  void set_free_blocks(uint32_t blocks) { free_blocks_ = blocks; }

  /// Lists the blocks of slots. The list is good until the next call, and until the tables change. Returns its length after
  /// waiting for it.
  uint32_t list(const slot_list& which) {
    slots_here_.ensure(which.size());
    slots_up_.ensure(which.size());
    std::copy(which.begin(), which.end(), slots_up_.data());
    stream_.upload(slots_here_.data(), slots_up_.data(), which.size() * sizeof(uint32_t));
    place_.ensure(which.size() * table_size_);
    for (;;) {
      stream_.fill(list_state_.data(), sizeof(list_state), 0);
      stream_.launch(which.size() * table_size_, list_blocks{view(), listing()});
      stream_.download(list_state_down_.data(), list_state_.data(), sizeof(list_state));
      stream_.wait();
      if (list_state_down_[0].wanted <= listed_.size())
        return list_state_down_[0].listed;
      listed_.ensure(list_state_down_[0].wanted);
    }
  }
  /// The list last made, for kernels.
  [[nodiscard]] block_list listing() const {
    return {slots_here_.data(), listed_.data(), place_.data(), static_cast<uint32_t>(listed_.size()), list_state_.data()};
  }

  /// Gives a slot that has no block those of an image; there must be as many unused.
  void insert(uint32_t slot, const region_image& image) {
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

  /// Copies out the blocks of one slot.
  region_image image_of(uint32_t slot) { return image_of_listed(list({slot})); }
  /// Copies out the blocks of the one slot that was listed last.
  region_image image_of_listed(uint32_t blocks) {
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

  /// Blocks of a slot become unused, all zero.
  void release(uint32_t slot) { release_listed(list({slot})); }
  /// Likewise those of all slots that were listed last.
  void release_listed(uint32_t blocks) {
    stream_.launch(size_t{blocks} * 512, release_blocks{view(), listing(), nullptr});
    stream_.wait();
    free_blocks_ += blocks;
  }
  /// Likewise those of slots that are all zero already. Returns how many.
  uint32_t release_unused(const slot_list& which) {
    const uint32_t blocks = list(which);
    entries_.ensure(blocks);
    entries_up_.ensure(1);
    stream_.fill(entries_.data(), blocks * sizeof(uint32_t), 0);
    stream_.launch(size_t{blocks} * 8, find_used{view(), listing(), entries_.data()});
    stream_.launch(size_t{blocks} * 512, release_blocks{view(), listing(), entries_.data()});
    stream_.download(entries_up_.data(), free_count_.data(), sizeof(uint32_t));
    stream_.wait();
    return entries_up_[0] - std::exchange(free_blocks_, entries_up_[0]);
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

  void tell_free_count() { stream_.launch(1, set_free_count{free_count_.data(), free_blocks_}); }

  int32_t region_voxels_;
  stream& stream_;
  uint32_t edge_, table_size_, blocks_, slots_, free_blocks_;
  device_buffer<Device, uint32_t> tables_;
  device_buffer<Device, voxel_words> words_;
  device_buffer<Device, uint32_t> free_;
  device_buffer<Device, uint32_t> free_count_;
  device_buffer<Device, uint32_t> slots_here_;
  pinned_buffer<Device, uint32_t> slots_up_;
  device_buffer<Device, listed_block> listed_;
  pinned_buffer<Device, listed_block> listed_down_;
  device_buffer<Device, uint32_t> place_;
  device_buffer<Device, list_state> list_state_;
  pinned_buffer<Device, list_state> list_state_down_;
  device_buffer<Device, uint32_t> entries_;
  pinned_buffer<Device, uint32_t> entries_up_;
  device_buffer<Device, voxel_words> transfer_;
  pinned_buffer<Device, voxel_words> transfer_host_;
};

} // namespace tessera::cuda
