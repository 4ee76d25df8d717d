#include "net/formats/mesh_files.hpp"

#include "net/formats/json_text.hpp"
#include "net/formats/patch_codec.hpp"
#include "net/formats/sound_triangles.hpp"
#include "net/formats/whole_file.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <ostream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace tessera {

namespace {

// Gathers small records into writes of some size.
class record_writer {
public:
  explicit record_writer(std::ostream& out) : out_(out) { buffer_.reserve(capacity); }
  ~record_writer() { flush(); }
  record_writer(const record_writer&) = delete;
  record_writer& operator=(const record_writer&) = delete;

  void raw(const void* data, size_t size) {
    if (buffer_.size() + size > capacity)
      flush();
    auto* from = static_cast<const char*>(data);
    buffer_.insert(buffer_.end(), from, from + size);
  }
  template <class T>
  void put(const T& value) {
    raw(&value, sizeof value);
  }

private:
  static constexpr size_t capacity = 1 << 16;
  void flush() {
    out_.write(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
    buffer_.clear();
  }
  std::ostream& out_;
  std::vector<char> buffer_;
};

void check(const mesh& m) {
  auto n = m.positions.size() / 3;
  if (m.positions.size() != 3 * n || m.normals.size() != 3 * n || m.colours.size() != 3 * n || m.indices.size() % 3 != 0)
    throw std::invalid_argument("mesh: its arrays do not fit together");
  if (n > INT32_MAX)
    throw std::invalid_argument("mesh: " + std::to_string(n) + " vertices, more than a file can index");
  for (auto i : m.indices)
    if (i >= n)
      throw std::invalid_argument("mesh: index " + std::to_string(i) + " of " + std::to_string(n) + " vertices");
}

// The sRGB transfer function, decoded, in 16 bits.
const std::array<uint16_t, 256>& linear_of_srgb() {
  static const auto table = [] {
    std::array<uint16_t, 256> t{};
    for (size_t i = 0; i < t.size(); ++i) {
      auto c = static_cast<double>(i) / 255;
      auto linear = c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
      t[i] = static_cast<uint16_t>(std::lround(linear * 65535));
    }
    return t;
  }();
  return table;
}

void write_ply(std::ostream& out, const mesh& m, const mesh_file_setup& setup) {
  const auto n = m.positions.size() / 3;
  out << "ply\nformat binary_little_endian 1.0\ncomment tessera " TESSERA_VERSION "\ncomment unit metre\ncomment colours sRGB\n";
  if (setup.voxel_m > 0)
    out << "comment voxel_m " << number(setup.voxel_m) << '\n';
  if (!setup.epoch.empty())
    out << "comment epoch " << setup.epoch << '\n';
  out << "element vertex " << n
      << "\nproperty float x\nproperty float y\nproperty float z\nproperty float nx\nproperty float "
         "ny\nproperty float nz\n"
         "property uchar red\nproperty uchar green\nproperty uchar blue\nelement face "
      << m.indices.size() / 3 << "\nproperty list uchar int vertex_indices\nend_header\n";
  record_writer records{out};
  for (size_t i = 0; i < n; ++i) {
    records.raw(&m.positions[3 * i], 12);
    records.raw(&m.normals[3 * i], 12);
    records.raw(&m.colours[3 * i], 3);
  }
  for (size_t i = 0; i < m.indices.size(); i += 3) {
    records.put(uint8_t{3});
    records.raw(&m.indices[i], 12);
  }
}

nlohmann::json extras_of(const mesh_file_setup& setup) {
  nlohmann::json out{{"unit", "metre"}};
  if (setup.voxel_m > 0)
    out["voxel_m"] = number(setup.voxel_m);
  if (!setup.epoch.empty())
    out["epoch"] = setup.epoch;
  return out;
}

void write_glb(std::ostream& out, const mesh& m, const mesh_file_setup& setup) {
  using nlohmann::json;
  const auto n = m.positions.size() / 3;
  json doc{{"asset", {{"version", "2.0"}, {"generator", "tessera " TESSERA_VERSION}}}, {"scene", 0}};
  uint64_t binary = 0;
  if (m.indices.empty()) {
    // glTF knows no empty accessor: an empty map is a scene without nodes.
    doc["scenes"] = {json::object()};
  } else {
    std::array<float, 3> lo{m.positions[0], m.positions[1], m.positions[2]}, hi = lo;
    for (size_t i = 0; i < m.positions.size(); ++i) {
      lo[i % 3] = std::min(lo[i % 3], m.positions[i]);
      hi[i % 3] = std::max(hi[i % 3], m.positions[i]);
    }
    uint64_t vectors = 12 * n, colours = 8 * n, indices = 4 * m.indices.size();
    binary = 2 * vectors + colours + indices;
    constexpr int array_buffer = 34962, element_buffer = 34963;
    auto view = [](uint64_t offset, uint64_t length, int target) {
      return json{{"buffer", 0}, {"byteOffset", offset}, {"byteLength", length}, {"target", target}};
    };
    constexpr int u16 = 5123, u32 = 5125, f32 = 5126;
    auto accessor = [](int from, int component, uint64_t count, const char* type) {
      return json{{"bufferView", from}, {"componentType", component}, {"count", count}, {"type", type}};
    };
    auto positions = accessor(0, f32, n, "VEC3");
    positions["min"] = lo;
    positions["max"] = hi;
    auto colour = accessor(2, u16, n, "VEC4");
    colour["normalized"] = true;
    doc["scenes"] = {{{"nodes", {0}}}};
    doc["nodes"] = {{{"mesh", 0}, {"name", "map"}, {"rotation", upright(setup.up)}, {"extras", extras_of(setup)}}};
    doc["meshes"]
      = {{{"name", "map"},
          {"primitives", {{{"attributes", {{"POSITION", 0}, {"NORMAL", 1}, {"COLOR_0", 2}}}, {"indices", 3}, {"material", 0}}}}}};
    constexpr auto unlit = "KHR_materials_unlit";
    doc["materials"] = {{{"name", "surface"},
                         {"pbrMetallicRoughness", {{"metallicFactor", 0}, {"roughnessFactor", 1}}},
                         {"doubleSided", false},
                         {"extensions", {{unlit, json::object()}}}}};
    doc["extensionsUsed"] = {unlit};
    doc["buffers"] = {{{"byteLength", binary}}};
    doc["bufferViews"] = {view(0, vectors, array_buffer), view(vectors, vectors, array_buffer),
                          view(2 * vectors, colours, array_buffer), view(2 * vectors + colours, indices, element_buffer)};
    doc["accessors"] = {positions, accessor(1, f32, n, "VEC3"), colour, accessor(3, u32, m.indices.size(), "SCALAR")};
  }
  auto text = doc.dump();
  text.resize((text.size() + 3) / 4 * 4, ' ');
  auto total = 12 + 8 + uint64_t{text.size()} + (binary > 0 ? 8 + binary : 0);
  if (total > UINT32_MAX)
    throw std::invalid_argument("mesh: " + std::to_string(total) + " bytes, more than the 4 GiB of a GLB file");
  record_writer records{out};
  records.put(uint32_t{0x46546c67}); // "glTF"
  records.put(uint32_t{2});
  records.put(static_cast<uint32_t>(total));
  records.put(static_cast<uint32_t>(text.size()));
  records.put(uint32_t{0x4e4f534a}); // "JSON"
  records.raw(text.data(), text.size());
  if (binary == 0)
    return;
  records.put(static_cast<uint32_t>(binary));
  records.put(uint32_t{0x004e4942}); // "BIN"
  for (auto x : m.positions)
    records.put(x);
  for (auto x : m.normals)
    records.put(x);
  const auto& linear = linear_of_srgb();
  for (size_t i = 0; i < n; ++i)
    records.put(
      std::array<uint16_t, 4>{linear[m.colours[3 * i]], linear[m.colours[3 * i + 1]], linear[m.colours[3 * i + 2]], 65535});
  for (auto i : m.indices)
    records.put(i);
}

} // namespace

std::optional<mesh_format> mesh_format_of(const std::filesystem::path& file) {
  auto extension = file.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c); });
  if (extension == ".ply")
    return mesh_format::ply;
  if (extension == ".glb")
    return mesh_format::glb;
  if (extension == ".drc")
    return mesh_format::drc;
  return std::nullopt;
}

std::string_view content_type(mesh_format format) {
  switch (format) {
  case mesh_format::ply:
    return "application/x-ply";
  case mesh_format::glb:
    return "model/gltf-binary";
  case mesh_format::drc:
    break;
  }
  return "application/octet-stream";
}

mesh_counts write_mesh(std::ostream& out, mesh m, mesh_format format, const mesh_file_setup& setup) {
  check(m);
  if (setup.turn_vertices && format != mesh_format::glb) {
    const auto by = upright(setup.up);
    for (auto* vectors : {&m.positions, &m.normals})
      for (size_t i = 0; i < vectors->size(); i += 3) {
        const auto to = turned(by, &(*vectors)[i]);
        std::copy(to.begin(), to.end(), &(*vectors)[i]);
      }
  }
  switch (format) {
  case mesh_format::ply:
    take_vertices(m, sound_triangles(m.positions, m.indices));
    write_ply(out, m, setup);
    break;
  case mesh_format::glb:
    take_vertices(m, sound_triangles(m.positions, m.indices));
    write_glb(out, m, setup);
    break;
  case mesh_format::drc: {
    auto bytes = encode_drc(std::move(m), setup.quantum_m);
    out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    break;
  }
  }
  return {m.positions.size() / 3, m.indices.size() / 3};
}

mesh_counts save_mesh(const std::filesystem::path& file, mesh m, const mesh_file_setup& setup) {
  auto format = mesh_format_of(file);
  if (!format)
    throw std::invalid_argument("cannot tell the format of " + file.string() + ": name it .ply, .glb or .drc");
  mesh_counts written;
  write_whole_file(file, [&](std::ostream& out) { written = write_mesh(out, std::move(m), *format, setup); });
  return written;
}

} // namespace tessera
