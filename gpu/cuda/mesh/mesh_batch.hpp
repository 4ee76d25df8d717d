#pragma once

#include "gpu/cuda/fields/region_store.hpp"
#include "gpu/cuda/mesh/mesh_kernels.hpp"
#include "messages/map.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace tessera::cuda {

/// Meshes many regions at once. Threads: one.
template <device_like Device>
class mesh_batch {
public:
  using stream = typename Device::stream;
  mesh_batch(Device& device, stream& work, const map_settings& map, region_store<Device>& store)
    : voxel_m_(map.voxel_m), stream_(work), store_(store), cases_(device, 256), rows_(device), used_rows_(device),
      counts_(device), befores_(device), state_(device, 1), region_count_(device, 1), region_count_up_(device, 1),
      begins_(device), begins_down_(device), positions_(device), normals_(device), colours_(device), keys_(device),
      indices_(device), positions_down_(device), normals_down_(device), colours_down_(device), keys_down_(device),
      indices_down_(device) {
    pinned_buffer<Device, case_row> cases(device, 256);
    for (size_t c = 0; c < 256; ++c) {
      cases[c].count = marching_cubes::table[c].count;
      for (size_t i = 0; i < 15; ++i)
        cases[c].edges[i] = marching_cubes::table[c].edges[i];
    }
    stream_.upload(cases_.data(), cases.data(), 256 * sizeof(case_row));
    stream_.wait();
  }

  /// The mesh of each region; the last one again where it is of the region's version. Throws std::bad_alloc if the regions that
  /// have changed do not fit on the device together.
  std::vector<std::shared_ptr<const mesh>> extract(const std::vector<region_key>& keys, uint64_t batch) {
    std::vector<region_key> outdated;
    for (const region_key key : keys)
      if (const region_record* region = store_.find(key); region != nullptr && region->version != version_of(key))
        outdated.push_back(key);
    std::sort(outdated.begin(), outdated.end());
    outdated.erase(std::unique(outdated.begin(), outdated.end()), outdated.end());
    if (!outdated.empty()) {
      store_.page_in(outdated, batch);
      download(outdated);
    }
    std::vector<std::shared_ptr<const mesh>> out;
    for (const region_key key : keys) {
      const region_record* region = store_.find(key);
      out.push_back(region != nullptr && region->version != 0 ? surfaces_.at(key).mesh : std::make_shared<const mesh>());
    }
    return out;
  }
  /// Lets go of the meshes of regions that are no more.
  void forget(region_key key) { surfaces_.erase(key); }
  void forget_all() { surfaces_.clear(); }

  /// Makes room for meshes of so many blocks, regions, vertices and corners. What was made before is lost; nothing that uses it
  /// may be under way.
  void make_room(size_t blocks, size_t regions, size_t vertices, size_t corners) {
    rows_.ensure(blocks);
    used_rows_.ensure(64 * blocks);
    if (const size_t counts = regions * store_.table_size() + 1; counts > counts_.size()) {
      counts_.ensure(counts);
      stream_.fill(counts_.data(), counts_.size() * sizeof(mesh_count), 0); // scans also read those that are not in use
    }
    befores_.ensure(regions * store_.table_size() + 1);
    stream_.prepare_scan(befores_.size());
    positions_.ensure(3 * vertices);
    normals_.ensure(3 * vertices);
    colours_.ensure(3 * vertices);
    keys_.ensure(vertices);
    indices_.ensure(corners);
  }
  [[nodiscard]] size_t blocks() const { return rows_.size(); }
  /// Regions that there is room for.
  [[nodiscard]] size_t regions() const { return befores_.size() / store_.table_size(); }
  [[nodiscard]] size_t vertices() const { return keys_.size(); }
  [[nodiscard]] size_t corners() const { return indices_.size(); }

  /// Has the blocks of regions listed, and meshed into device memory. The number of the regions is read on the device and is at
  /// most `most_regions`. `list` says where the list goes. If room does not suffice, `state` tells how much is needed; there it
  /// must be all zero before. `noted`: by slot, is set to 0 for these regions.
  void mesh_regions(block_list list, mesh_state* state, const uint32_t* region_count, size_t most_regions,
                    uint32_t* noted = nullptr) {
    list.state = &state->list;
    const field_view field = store_.view();
    const mesh_scratch scratch = this->scratch(state, region_count, most_regions);
    const uint32_t* listed = &state->list.listed;
    stream_.launch_each(region_count, store_.table_size(), list_for_meshing{{field, list}, scratch, noted});
    stream_.launch_each(listed, 64, read_rows{field, list, scratch});
    stream_.launch_each(listed, 64, find_cells{field, list, scratch});
    stream_.launch_each(listed, 64, find_edges{field, list, scratch});
    stream_.launch_each(listed, 8, number_layers{field, list, scratch});
    stream_.scan(&counts_.data()->both, &befores_.data()->both, most_regions * store_.table_size() + 1);
    stream_.launch_each(&state->rows, 16, write_meshes{field, list, scratch, arrays(), voxel_m_});
  }

private:
  struct surface {
    uint64_t version; ///< of the region's field
    std::shared_ptr<const tessera::mesh> mesh;
  };
  /// Of a region's field when it was meshed last; 0: it was not.
  [[nodiscard]] uint64_t version_of(region_key key) const {
    const auto at = surfaces_.find(key);
    return at != surfaces_.end() ? at->second.version : 0;
  }
  [[nodiscard]] mesh_scratch scratch(mesh_state* state, const uint32_t* region_count, size_t most_regions) const {
    return {cases_.data(),   rows_.data(), used_rows_.data(), counts_.data(),
            befores_.data(), state,        region_count,      static_cast<uint32_t>(most_regions)};
  }
  [[nodiscard]] mesh_arrays arrays() const {
    return {positions_.data(),
            normals_.data(),
            colours_.data(),
            keys_.data(),
            indices_.data(),
            static_cast<uint32_t>(keys_.size()),
            static_cast<uint32_t>(indices_.size())};
  }

  void download(const std::vector<region_key>& keys) {
    const uint32_t blocks = store_.list(keys); // so that there is room for the list
    make_room(blocks, keys.size(), vertices(), corners());
    begins_.ensure(keys.size() + 1);
    begins_down_.ensure(keys.size() + 1);
    region_count_up_[0] = static_cast<uint32_t>(keys.size());
    stream_.upload(region_count_.data(), region_count_up_.data(), sizeof(uint32_t));
    for (;;) {
      stream_.fill(state_.data(), sizeof(mesh_state), 0);
      mesh_regions(store_.listing(), state_.data(), region_count_.data(), keys.size());
      stream_.launch(keys.size() + 1,
                     find_begins{scratch(state_.data(), region_count_.data(), keys.size()), store_.table_size(), begins_.data()});
      stream_.download(begins_down_.data(), begins_.data(), (keys.size() + 1) * sizeof(mesh_count));
      stream_.wait();
      const mesh_count all = begins_down_[keys.size()];
      if (all.vertices() <= this->vertices() && all.corners() <= corners())
        break;
      make_room(blocks, keys.size(), all.vertices(), all.corners());
    }
    const size_t vertices = begins_down_[keys.size()].vertices(), corners = begins_down_[keys.size()].corners();
    if (corners != 0) {
      positions_down_.ensure(3 * vertices);
      normals_down_.ensure(3 * vertices);
      colours_down_.ensure(3 * vertices);
      keys_down_.ensure(vertices);
      indices_down_.ensure(corners);
      stream_.download(positions_down_.data(), positions_.data(), 3 * vertices * sizeof(float));
      stream_.download(normals_down_.data(), normals_.data(), 3 * vertices * sizeof(float));
      stream_.download(colours_down_.data(), colours_.data(), 3 * vertices);
      stream_.download(keys_down_.data(), keys_.data(), vertices * sizeof(uint64_t));
      stream_.download(indices_down_.data(), indices_.data(), corners * sizeof(uint32_t));
      stream_.wait();
    }
    for (size_t r = 0; r < keys.size(); ++r) {
      const mesh_count first = begins_down_[r], end = begins_down_[r + 1];
      auto one = std::make_shared<mesh>();
      one->positions.assign(positions_down_.data() + 3 * size_t{first.vertices()},
                            positions_down_.data() + 3 * size_t{end.vertices()});
      one->normals.assign(normals_down_.data() + 3 * size_t{first.vertices()}, normals_down_.data() + 3 * size_t{end.vertices()});
      one->colours.assign(colours_down_.data() + 3 * size_t{first.vertices()}, colours_down_.data() + 3 * size_t{end.vertices()});
      one->keys.assign(keys_down_.data() + first.vertices(), keys_down_.data() + end.vertices());
      one->indices.assign(indices_down_.data() + first.corners(), indices_down_.data() + end.corners());
      surfaces_[keys[r]] = {store_.find(keys[r])->version, std::move(one)};
    }
  }

  float voxel_m_;
  stream& stream_;
  region_store<Device>& store_;
  device_buffer<Device, case_row> cases_;
  device_buffer<Device, block_rows> rows_;
  device_buffer<Device, uint32_t> used_rows_;
  device_buffer<Device, mesh_count> counts_, befores_;
  device_buffer<Device, mesh_state> state_;
  device_buffer<Device, uint32_t> region_count_;
  pinned_buffer<Device, uint32_t> region_count_up_;
  device_buffer<Device, mesh_count> begins_;
  pinned_buffer<Device, mesh_count> begins_down_;
  device_buffer<Device, float> positions_, normals_;
  device_buffer<Device, uint8_t> colours_;
  device_buffer<Device, uint64_t> keys_;
  device_buffer<Device, uint32_t> indices_;
  pinned_buffer<Device, float> positions_down_, normals_down_;
  pinned_buffer<Device, uint8_t> colours_down_;
  pinned_buffer<Device, uint64_t> keys_down_;
  pinned_buffer<Device, uint32_t> indices_down_;
  std::map<region_key, surface> surfaces_; ///< the last ones
};

} // namespace tessera::cuda
