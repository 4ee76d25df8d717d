#pragma once

#include "gpu/cuda/mesh_kernels.hpp"
#include "gpu/cuda/region_store.hpp"

namespace tessera::cuda {

/// Meshes many regions at once. Threads: one.
template <device_like Device>
class mesh_batch {
public:
  using stream = typename Device::stream;
  mesh_batch(Device& device, stream& work, const mapping& map, region_store<Device>& store)
    : voxel_m_(map.voxel_m), stream_(work), store_(store), cases_(device, 256), inside_(device), edges_(device), vertex_(device),
      corner_(device), layer_vertices_(device), layer_corners_(device), vertex_counts_(device), corner_counts_(device),
      vertices_before_(device), corners_before_(device), begins_(device), begins_down_(device), positions_(device),
      normals_(device), colours_(device), keys_(device), indices_(device), positions_down_(device), normals_down_(device),
      colours_down_(device), keys_down_(device), indices_down_(device) {
    pinned_buffer<Device, case_row> cases(device, 256);
    for (size_t c = 0; c < 256; ++c) {
      cases[c].count = marching_cubes::table[c].count;
      for (size_t i = 0; i < 15; ++i)
        cases[c].edges[i] = marching_cubes::table[c].edges[i];
    }
    stream_.upload(cases_.data(), cases.data(), 256 * sizeof(case_row));
    stream_.wait();
  }

  /// The mesh of each region; the last one again where nothing has changed since. Throws std::bad_alloc if the regions that have
  /// changed do not fit on the device together.
  std::vector<std::shared_ptr<const mesh>> extract(const std::vector<region_key>& keys, uint64_t batch) {
    std::vector<region_key> changed;
    for (const region_key key : keys)
      if (const region_record* region = store_.find(key); region != nullptr && region->changed)
        changed.push_back(key);
    std::sort(changed.begin(), changed.end());
    changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
    if (!changed.empty()) {
      store_.bring(changed, batch);
      mesh_all(changed);
    }
    std::vector<std::shared_ptr<const mesh>> out;
    for (const region_key key : keys) {
      const region_record* region = store_.find(key);
      out.push_back(region != nullptr ? region->surface : std::make_shared<const mesh>());
    }
    return out;
  }

private:
  void mesh_all(const std::vector<region_key>& keys) {
    const size_t blocks = store_.list(keys), voxels = blocks * 512, layers = blocks * 8,
                 entries = keys.size() * store_.table_size() + 1;
    inside_.ensure(voxels);
    edges_.ensure(voxels);
    vertex_.ensure(voxels);
    corner_.ensure(voxels);
    layer_vertices_.ensure(layers);
    layer_corners_.ensure(layers);
    vertex_counts_.ensure(entries);
    corner_counts_.ensure(entries);
    vertices_before_.ensure(entries);
    corners_before_.ensure(entries);
    begins_.ensure(keys.size() + 1);
    begins_down_.ensure(keys.size() + 1);

    const field_view field = store_.view();
    const block_list list = store_.listing();
    mesh_scratch scratch{cases_.data(),         inside_.data(),        edges_.data(),
                         vertex_.data(),        corner_.data(),        layer_vertices_.data(),
                         layer_corners_.data(), vertex_counts_.data(), corner_counts_.data()};
    stream_.fill(vertex_counts_.data(), entries * sizeof(uint32_t), 0);
    stream_.fill(corner_counts_.data(), entries * sizeof(uint32_t), 0);
    stream_.launch(voxels, classify_cells{field, list, scratch});
    stream_.launch(voxels, find_edges{field, list, scratch});
    stream_.launch(layers, number_layers{field, list, scratch});
    stream_.scan(vertex_counts_.data(), vertices_before_.data(), entries);
    stream_.scan(corner_counts_.data(), corners_before_.data(), entries);
    scratch.vertices = vertices_before_.data();
    scratch.corners = corners_before_.data();
    stream_.launch(keys.size() + 1, find_begins{scratch, store_.table_size(), begins_.data()});
    stream_.download(begins_down_.data(), begins_.data(), (keys.size() + 1) * sizeof(mesh_begin));
    stream_.wait();

    const size_t vertices = begins_down_[keys.size()].vertices, corners = begins_down_[keys.size()].corners;
    const mesh_arrays out = make_room(vertices, corners);
    if (corners != 0) {
      stream_.launch(voxels, write_vertices{field, list, scratch, out, voxel_m_});
      stream_.launch(voxels, write_corners{field, list, scratch, out});
      stream_.download(positions_down_.data(), positions_.data(), 3 * vertices * sizeof(float));
      stream_.download(normals_down_.data(), normals_.data(), 3 * vertices * sizeof(float));
      stream_.download(colours_down_.data(), colours_.data(), 3 * vertices);
      stream_.download(keys_down_.data(), keys_.data(), vertices * sizeof(uint64_t));
      stream_.download(indices_down_.data(), indices_.data(), corners * sizeof(uint32_t));
      stream_.wait();
    }
    for (size_t r = 0; r < keys.size(); ++r) {
      const auto [first, first_corner] = begins_down_[r];
      const auto [end, end_corner] = begins_down_[r + 1];
      auto one = std::make_shared<mesh>();
      one->positions.assign(positions_down_.data() + 3 * size_t{first}, positions_down_.data() + 3 * size_t{end});
      one->normals.assign(normals_down_.data() + 3 * size_t{first}, normals_down_.data() + 3 * size_t{end});
      one->colours.assign(colours_down_.data() + 3 * size_t{first}, colours_down_.data() + 3 * size_t{end});
      one->keys.assign(keys_down_.data() + first, keys_down_.data() + end);
      one->indices.assign(indices_down_.data() + first_corner, indices_down_.data() + end_corner);
      region_record& region = *store_.find(keys[r]);
      region.surface = std::move(one);
      region.changed = false;
    }
  }

  mesh_arrays make_room(size_t vertices, size_t corners) {
    positions_.ensure(3 * vertices);
    normals_.ensure(3 * vertices);
    colours_.ensure(3 * vertices);
    keys_.ensure(vertices);
    indices_.ensure(corners);
    positions_down_.ensure(3 * vertices);
    normals_down_.ensure(3 * vertices);
    colours_down_.ensure(3 * vertices);
    keys_down_.ensure(vertices);
    indices_down_.ensure(corners);
    return {positions_.data(), normals_.data(), colours_.data(), keys_.data(), indices_.data()};
  }

  float voxel_m_;
  stream& stream_;
  region_store<Device>& store_;
  device_buffer<Device, case_row> cases_;
  device_buffer<Device, uint8_t> inside_, edges_;
  device_buffer<Device, uint16_t> vertex_, corner_, layer_vertices_, layer_corners_;
  device_buffer<Device, uint32_t> vertex_counts_, corner_counts_, vertices_before_, corners_before_;
  device_buffer<Device, mesh_begin> begins_;
  pinned_buffer<Device, mesh_begin> begins_down_;
  device_buffer<Device, float> positions_, normals_;
  device_buffer<Device, uint8_t> colours_;
  device_buffer<Device, uint64_t> keys_;
  device_buffer<Device, uint32_t> indices_;
  pinned_buffer<Device, float> positions_down_, normals_down_;
  pinned_buffer<Device, uint8_t> colours_down_;
  pinned_buffer<Device, uint64_t> keys_down_;
  pinned_buffer<Device, uint32_t> indices_down_;
};

} // namespace tessera::cuda
