#include "net/formats/cells_codec.hpp"

#include "gpu/shared/lattice.hpp"
#include "net/formats/cells_model.hpp"
#include "net/formats/edges_model.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace tessera {

namespace {

[[noreturn]] void refuse(const std::string& why) {
  throw std::invalid_argument(why);
}

/// A record's parts of the lists.
struct block_parts {
  uint32_t first_cell = 0, end_of_cells = 0, first_edge = 0, end_of_edges = 0;
};

/// Goes through the blocks of a region by their slots.
class block_reader {
public:
  explicit block_reader(const region_cells& from) : from_(from) {}
  /// Returns the record of a slot, which is greater than any before; an empty one if there is none.
  block_parts at(uint32_t slot) {
    while (next_ < from_.blocks.size() && from_.blocks[next_].slot < slot)
      step();
    if (next_ == from_.blocks.size() || from_.blocks[next_].slot != slot)
      return {};
    const block_parts out{end_of_cells_, from_.blocks[next_].end_of_cells, end_of_edges_, from_.blocks[next_].end_of_edges};
    step();
    return out;
  }

private:
  void step() {
    end_of_cells_ = from_.blocks[next_].end_of_cells;
    end_of_edges_ = from_.blocks[next_].end_of_edges;
    ++next_;
  }
  const region_cells& from_;
  size_t next_ = 0;
  uint32_t end_of_cells_ = 0, end_of_edges_ = 0;
};

std::vector<std::byte> encode_blocks(std::vector<std::byte> to, const region_cells& from, const changed_blocks* only) {
  const auto begin = to.size();
  to.resize(begin + sizeof(uint32_t)); // the code's length
  decision_writer coder(std::move(to));
  cells_model model(coder, from.region_voxels);
  if (only != nullptr)
    for (size_t i = 0; i < only->slots.size(); ++i)
      if (only->slots[i] >= model.slots() || (i > 0 && only->slots[i] <= only->slots[i - 1]))
        refuse("cells: changed block " + std::to_string(only->slots[i]) + " of " + std::to_string(model.slots())
               + " is none of the region's, or out of order");
  size_t next = 0;
  const auto touched = model.touch([&](uint32_t slot) {
    const bool is = only != nullptr ? next < only->slots.size() && only->slots[next] == slot
                                    : next < from.blocks.size() && from.blocks[next].slot == slot;
    next += is ? 1 : 0;
    return is;
  });
  cells_model<decision_writer>::block_cases cases{};
  for (block_reader blocks(from); const auto slot : touched) {
    const auto parts = blocks.at(slot);
    for (auto i = parts.first_cell; i < parts.end_of_cells; ++i)
      cases[from.cells[i].place & 511] = from.cells[i].inside;
    model.code_cells(slot, cases);
    for (auto i = parts.first_cell; i < parts.end_of_cells; ++i)
      cases[from.cells[i].place & 511] = 0;
  }
  to = coder.finish();
  const auto code_bytes = static_cast<uint32_t>(to.size() - begin - sizeof(uint32_t));
  std::memcpy(&to[begin], &code_bytes, sizeof code_bytes);
  bit_writer bits(std::move(to));
  edges_model edges(bits);
  for (block_reader blocks(from); const auto slot : touched) {
    const auto parts = blocks.at(slot);
    edges.code(std::span{from.edges}.subspan(parts.first_edge, parts.end_of_edges - parts.first_edge));
  }
  return bits.finish();
}

/// Which edges the cells of a region use: for each corner of a cell, one bit an axis.
class used_edges {
public:
  explicit used_edges(int32_t region_voxels)
    : slots_per_axis_(static_cast<uint32_t>(region_voxels) / 8 + 1), row_(8 * size_t{slots_per_axis_}),
      axes_(row_ * row_ * row_, 0), slots_(size_t{slots_per_axis_} * slots_per_axis_ * slots_per_axis_, false) {}

  void add(uint32_t slot, const surface_cell& cell) {
    const auto crossed = cell_tables::crossed[cell.inside];
    for (uint32_t c = 0; c < cell_tables::corners; ++c)
      if (const auto axes = crossed >> 3 * c & 7; axes != 0) {
        const auto x = first(slot, 0) + (cell.place & 7u) + (c & 1);
        const auto y = first(slot, 1) + (cell.place >> 3 & 7u) + (c >> 1 & 1);
        const auto z = first(slot, 2) + (cell.place >> 6u) + (c >> 2);
        auto& to = axes_[(z * row_ + y) * row_ + x];
        to = static_cast<uint8_t>(to | axes);
        slots_[((z >> 3) * slots_per_axis_ + (y >> 3)) * slots_per_axis_ + (x >> 3)] = true;
      }
  }

  /// Appends those of a block, in order.
  void append(uint32_t slot, std::vector<crossed_edge>& to) const {
    if (!slots_[slot])
      return;
    for (uint32_t z = 0; z < 8; ++z)
      for (uint32_t y = 0; y < 8; ++y) {
        const auto* row = &axes_[((first(slot, 2) + z) * row_ + first(slot, 1) + y) * row_ + first(slot, 0)];
        uint64_t any = 0;
        std::memcpy(&any, row, sizeof any);
        for (; any != 0; any &= any - 1) {
          const auto bit = static_cast<uint32_t>(std::countr_zero(any));
          to.push_back({static_cast<uint16_t>(3 * (z << 6 | y << 3 | bit >> 3) + (bit & 7)), 0, {}});
        }
      }
  }

private:
  [[nodiscard]] uint32_t first(uint32_t slot, int axis) const {
    for (; axis > 0; --axis)
      slot /= slots_per_axis_;
    return slot % slots_per_axis_ * 8;
  }
  uint32_t slots_per_axis_;
  size_t row_;
  std::vector<uint8_t> axes_;
  std::vector<bool> slots_;
};

void check_count(const char* what, size_t there, uint32_t said) {
  if (there != said)
    refuse("payload: " + std::to_string(there) + " " + what + ", but the header says " + std::to_string(said));
}

} // namespace

patch encode_cells(const region_cells& from, uint64_t keyframe_ns, uint64_t received_ns, const changed_blocks* only) {
  patch_header header{
    .codec = 2, .region = from.region, .version = from.version, .keyframe_ns = keyframe_ns, .received_ns = received_ns};
  std::vector<std::byte> frame(patch_header_bytes);
  if (from.cells.empty()) {
    header.kind = patch_header::patch_kind::empty;
  } else {
    if (only != nullptr) {
      if (only->base_version >= from.version)
        refuse("cells: base version " + std::to_string(only->base_version) + " is not less than version "
               + std::to_string(from.version));
      header.partial = true;
      header.base_version = only->base_version;
      frame.resize(patch_header_bytes + sizeof only->base_version);
      std::memcpy(frame.data() + patch_header_bytes, &only->base_version, sizeof only->base_version);
    }
    frame = encode_blocks(std::move(frame), from, only);
    header.vertices = static_cast<uint32_t>(from.edges.size());
    header.triangles = static_cast<uint32_t>(from.triangles());
    header.payload_bytes = static_cast<uint32_t>(frame.size() - patch_header_bytes);
  }
  write_patch_header(std::span{frame}.first<patch_header_bytes>(), header);
  return patch_of(header, std::move(frame));
}

region_cells decode_cells(std::span<const std::byte> frame, int32_t region_voxels, const region_cells* held) {
  if (region_voxels < lattice::block_edge || region_voxels > 256 || region_voxels % lattice::block_edge != 0)
    refuse("region_voxels is " + std::to_string(region_voxels) + ", not a multiple of 8 from 8 to 256");
  const auto header = parse_patch_header(frame, 2);
  region_cells out{
    .region = header.region, .version = header.version, .region_voxels = region_voxels, .blocks = {}, .cells = {}, .edges = {}};
  if (header.kind == patch_header::patch_kind::empty)
    return out;
  if (header.codec != 2)
    refuse("patch: codec is " + std::to_string(header.codec) + ", not 2 (cells)");
  for (const auto r : {header.region.x, header.region.y, header.region.z})
    if (const auto first = int64_t{r} * region_voxels; first < -lattice::map_limit - region_voxels || first > lattice::map_limit)
      refuse("patch: region " + std::to_string(r) + " of " + std::to_string(region_voxels) + " voxels lies beyond the map");
  region_cells nothing{
    .region = header.region, .version = 0, .region_voxels = region_voxels, .blocks = {}, .cells = {}, .edges = {}};
  const auto& base = header.partial && held != nullptr ? *held : nothing;
  auto payload = patch_payload(frame);
  if (header.partial) {
    if (held == nullptr)
      refuse("patch: it builds on version " + std::to_string(header.base_version) + ", and none is held");
    if (held->region != header.region || held->region_voxels != region_voxels)
      refuse("patch: what is held is another region");
    if (held->version != header.base_version)
      refuse("patch: it builds on version " + std::to_string(header.base_version) + ", not on " + std::to_string(held->version)
             + ", which is held");
    payload = payload.subspan(sizeof header.base_version);
  }
  uint32_t code_bytes = 0;
  if (payload.size() >= sizeof code_bytes)
    std::memcpy(&code_bytes, payload.data(), sizeof code_bytes);
  if (payload.size() < sizeof code_bytes || code_bytes > payload.size() - sizeof code_bytes)
    refuse("payload: a code of " + std::to_string(code_bytes) + " bytes does not fit into " + std::to_string(payload.size()));
  payload = payload.subspan(sizeof code_bytes);
  decision_reader coder(payload.first(code_bytes));
  cells_model model(coder, region_voxels);
  const auto touched = model.touch([](uint32_t) { return false; });
  // The cells of all blocks: those that come, and those that are held of blocks that do not.
  used_edges used(region_voxels);
  size_t triangles = 0;
  const auto take = [&](uint32_t slot, const surface_cell& cell) {
    triangles += marching_cubes::table[cell.inside].count;
    if (triangles > header.triangles)
      refuse("payload: more triangles than the header's " + std::to_string(header.triangles));
    used.add(slot, cell);
    out.cells.push_back(cell);
  };
  std::vector<uint32_t> end_of_cells(model.slots());
  {
    block_reader blocks(base);
    cells_model<decision_reader>::block_cases cases{};
    size_t next = 0;
    for (uint32_t slot = 0; slot < model.slots(); ++slot) {
      if (next < touched.size() && touched[next] == slot) {
        ++next;
        model.code_cells(slot, cases);
        for (uint16_t place = 0; place < cases.size(); ++place)
          if (cases[place] != 0)
            take(slot, {place, std::exchange(cases[place], uint8_t{0})});
      } else {
        const auto parts = blocks.at(slot);
        for (auto i = parts.first_cell; i < parts.end_of_cells; ++i)
          take(slot, base.cells[i]);
      }
      end_of_cells[slot] = static_cast<uint32_t>(out.cells.size());
    }
  }
  check_count("triangles", triangles, header.triangles);
  if (coder.left() != 0)
    refuse("payload: " + std::to_string(coder.left()) + " bytes more than its code needs");
  // All cells are known, and with them which edges are crossed.
  bit_reader bits(payload.subspan(code_bytes));
  edges_model model_of_edges(bits);
  block_reader blocks(base);
  std::vector<crossed_edge> edges;
  size_t next = 0, cells_before = 0;
  for (uint32_t slot = 0; slot < model.slots(); ++slot) {
    edges.clear();
    used.append(slot, edges);
    if (next < touched.size() && touched[next] == slot) {
      ++next;
      model_of_edges.code(edges);
    } else {
      const auto parts = blocks.at(slot);
      const auto from = base.edges.begin() + parts.first_edge, to = base.edges.begin() + parts.end_of_edges;
      if (!std::equal(from, to, edges.begin(), edges.end(), [](const auto& a, const auto& b) { return a.edge == b.edge; }))
        refuse("payload: the patch changes which edges are crossed in block " + std::to_string(slot) + ", but not the block");
      edges.assign(from, to);
    }
    if (!edges.empty() || end_of_cells[slot] != cells_before) {
      out.edges.insert(out.edges.end(), edges.begin(), edges.end());
      out.blocks.push_back({slot, end_of_cells[slot], static_cast<uint32_t>(out.edges.size())});
    }
    cells_before = end_of_cells[slot];
  }
  check_count("vertices", out.edges.size(), header.vertices);
  if (bits.bits_left() >= 8 || bits.get(static_cast<uint32_t>(bits.bits_left())) != 0)
    refuse("payload: more bits than its edges need");
  return out;
}

} // namespace tessera
