// A region's field as one value, and back.

#include "gpu/cpu/region_field.hpp"

namespace tessera::cpu {

namespace {

constexpr size_t block_voxels = lattice::block_voxels;

} // namespace

region_image region_field::image() const {
  region_image out;
  for (size_t s = 0; s < field_.size(); ++s)
    if (field_[s])
      out.blocks.push_back(static_cast<uint32_t>(s));
  out.voxels.reserve(out.blocks.size() * block_voxels);
  for (const auto s : out.blocks) {
    const block& from = *field_[s];
    for (size_t i = 0; i < block_voxels; ++i)
      out.voxels.push_back({from.w01[i].w0, from.w01[i].w1, from.w2[i]});
  }
  return out;
}

void region_field::load(const region_image& image) {
  stats_.reset();
  auto from = image.voxels.begin();
  for (const auto s : image.blocks) {
    auto& to = field_[s] = block_handle(pool_.take(), block_return{&pool_});
    for (size_t i = 0; i < block_voxels; ++i, ++from) {
      to->w01[i] = {from->w0, from->w1};
      to->w2[i] = from->w2;
    }
    changes_[s] = UINT8_MAX;
  }
}

void region_field::add(const region_image& image) {
  std::vector<std::pair<size_t, block_handle>> fresh;
  for (const auto s : image.blocks)
    if (!field_[s])
      fresh.emplace_back(s, block_handle(pool_.take(), block_return{&pool_}));
  stats_.reset();
  for (auto& [s, made] : fresh)
    field_[s] = std::move(made);
  auto from = image.voxels.begin();
  for (const auto s : image.blocks) {
    auto& to = *field_[s];
    for (size_t i = 0; i < block_voxels; ++i, ++from) {
      to.w01[i].w0 += from->w0;
      to.w01[i].w1 += from->w1;
      to.w2[i] += from->w2;
    }
    changes_[s] = UINT8_MAX;
  }
}

} // namespace tessera::cpu
