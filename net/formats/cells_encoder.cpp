#include "net/formats/cells_encoder.hpp"

#include "net/formats/cells_codec.hpp"

namespace tessera {

namespace {

changed_blocks changed_since(const block_history& changes, uint64_t base) {
  changed_blocks out;
  out.base_version = base;
  for (const auto& one : changes.blocks)
    if (one.changed_at > base)
      out.slots.push_back(one.slot);
  return out;
}

} // namespace

void enter(block_history& changes, uint64_t version, std::vector<block_history::block> digests) {
  if (changes.newest == version)
    return; // another form of it
  std::vector<block_history::block> all;
  all.reserve(digests.size());
  auto before = changes.blocks.begin();
  const auto emptied_before = [&](uint32_t slot) {
    for (; before != changes.blocks.end() && before->slot < slot; ++before)
      all.push_back(before->digest == 0 ? *before : block_history::block{before->slot, 0, version});
  };
  for (auto& one : digests) {
    emptied_before(one.slot);
    const bool known = before != changes.blocks.end() && before->slot == one.slot;
    one.changed_at = known && before->digest == one.digest ? before->changed_at : version;
    all.push_back(one);
    before += known;
  }
  emptied_before(UINT32_MAX);
  changes.blocks = std::move(all);
  if (changes.first == 0)
    changes.first = version;
  changes.newest = version;
}

cells_function cells_encoder(float voxel_m, int32_t region_voxels) {
  return [=](const region_mesh& surface, patch& about, const std::vector<uint64_t>& bases,
             block_history& changes) -> std::optional<std::vector<cells_frame>> {
    const auto cells = cells_of(surface, voxel_m, region_voxels);
    if (!cells) {
      changes = {}; // what viewers hold from now on are not cells
      return std::nullopt;
    }
    std::vector<block_history::block> digests;
    for (const auto& one : digests_of(*cells))
      digests.push_back({one.slot, one.digest != 0 ? one.digest : 1, 0});
    enter(changes, surface.version, std::move(digests));
    const auto encoded = [&](const changed_blocks* only) {
      auto made = encode_cells(*cells, about.keyframe_ns, about.received_ns, only);
      about.vertices = made.vertices;
      about.triangles = made.triangles;
      return made.frame;
    };
    blob whole;
    std::vector<cells_frame> out;
    out.reserve(bases.size());
    for (const auto base : bases)
      if (base != 0 && base >= changes.first && base < surface.version) {
        const auto only = changed_since(changes, base);
        out.push_back({base, encoded(&only)});
      } else {
        if (!whole)
          whole = encoded(nullptr);
        out.push_back({base, whole});
      }
    return out;
  };
}

} // namespace tessera
