#include "net/formats/mesh_files.hpp"
#include "tests/support/left_out.hpp"
#include "tests/support/outside_program.hpp"
#include "tests/support/synthetic_mesh.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstring>
#include <sstream>

using namespace tessera;

namespace {

std::string written(const mesh& m, mesh_format format, const mesh_file_setup& setup = {}) {
  std::ostringstream out;
  write_mesh(out, m, format, setup);
  return out.str();
}

nlohmann::json glb_document(const std::string& file) {
  uint32_t bytes = 0;
  std::memcpy(&bytes, file.data() + 12, sizeof bytes);
  return nlohmann::json::parse(file.substr(20, bytes));
}

template <class T>
T at(const std::string& bytes, size_t offset) {
  T value{};
  REQUIRE(offset + sizeof value <= bytes.size());
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

} // namespace

TEST_CASE("The extension tells the format") {
  CHECK(mesh_format_of("a/b.ply") == mesh_format::ply);
  CHECK(mesh_format_of("B.GLB") == mesh_format::glb);
  CHECK(mesh_format_of("x.y.drc") == mesh_format::drc);
  CHECK_FALSE(mesh_format_of("x.obj"));
  CHECK_FALSE(mesh_format_of("ply"));
}

TEST_CASE("A PLY file holds the mesh byte for byte") {
  auto m = test::ground(-3, 9, 11, 0.05f);
  auto file = written(m, mesh_format::ply);
  auto end = file.find("end_header\n") + 11;
  auto header = file.substr(0, end);
  CHECK_THAT(header, Catch::StartsWith("ply\nformat binary_little_endian 1.0\n"));
  CHECK_THAT(header, Catch::Contains("element vertex " + std::to_string(m.vertices()) + "\n"));
  CHECK_THAT(header, Catch::Contains("element face " + std::to_string(m.triangles()) + "\n"));
  REQUIRE(file.size() == end + 27 * m.vertices() + 13 * m.triangles());
  for (size_t v : {size_t{0}, size_t{17}, m.vertices() - 1}) {
    CHECK(at<float>(file, end + 27 * v + 8) == m.positions[3 * v + 2]);
    CHECK(at<float>(file, end + 27 * v + 20) == m.normals[3 * v + 2]);
    CHECK(at<uint8_t>(file, end + 27 * v + 25) == m.colours[3 * v + 1]);
  }
  auto faces = end + 27 * m.vertices();
  for (size_t f : {size_t{0}, m.triangles() - 1}) {
    CHECK(at<uint8_t>(file, faces + 13 * f) == 3);
    CHECK(at<uint32_t>(file, faces + 13 * f + 9) == m.indices[3 * f + 2]);
  }
}

TEST_CASE("A GLB file is laid out as glTF 2.0 asks") {
  auto m = test::ground(-3, 9, 11, 0.05f);
  auto file = written(m, mesh_format::glb);
  CHECK(at<uint32_t>(file, 0) == 0x46546c67);
  CHECK(at<uint32_t>(file, 4) == 2);
  CHECK(at<uint32_t>(file, 8) == file.size());
  auto json_bytes = at<uint32_t>(file, 12);
  CHECK(json_bytes % 4 == 0);
  CHECK(at<uint32_t>(file, 16) == 0x4e4f534a);
  auto doc = nlohmann::json::parse(file.substr(20, json_bytes));
  auto binary = 20 + json_bytes;
  CHECK(at<uint32_t>(file, binary) == doc["buffers"][0]["byteLength"]);
  CHECK(at<uint32_t>(file, binary + 4) == 0x004e4942);
  CHECK(file.size() == binary + 8 + at<uint32_t>(file, binary));
  CHECK(doc["asset"]["version"] == "2.0");
  CHECK(doc["nodes"][0]["mesh"] == 0);

  const auto& primitive = doc["meshes"][0]["primitives"][0];
  auto start_of = [&](size_t accessor) {
    return binary + 8 + doc["bufferViews"][doc["accessors"][accessor]["bufferView"].get<size_t>()]["byteOffset"].get<size_t>();
  };
  auto position = primitive["attributes"]["POSITION"].get<size_t>();
  CHECK(doc["accessors"][position]["count"] == m.vertices());
  CHECK(doc["accessors"][position]["min"][0].get<float>() == -3 * 0.05f);
  CHECK(doc["accessors"][position]["max"][0].get<float>() == 9 * 0.05f);
  CHECK(at<float>(file, start_of(position) + 12 * 20 + 4) == m.positions[3 * 20 + 1]);
  auto indices = primitive["indices"].get<size_t>();
  CHECK(doc["accessors"][indices]["componentType"] == 5125);
  CHECK(doc["accessors"][indices]["count"] == m.indices.size());
  CHECK(at<uint32_t>(file, start_of(indices) + 4 * 7) == m.indices[7]);
  for (const auto& view : doc["bufferViews"])
    CHECK(view["byteOffset"].get<size_t>() % 4 == 0);
}

TEST_CASE("A GLB file stands upright, is unlit and single-sided, and tells what it is") {
  auto m = test::ground(0, 3, 3, 0.1f);
  mesh_file_setup setup;
  setup.voxel_m = 0.05f;
  setup.epoch = "e-1";
  setup.up = {0, 0, 1};
  const auto doc = glb_document(written(m, mesh_format::glb, setup));
  const auto& node = doc["nodes"][0];
  CHECK(node["name"] == "map");
  CHECK(node["rotation"][0].get<double>() == Approx(std::sqrt(0.5)));
  CHECK(node["rotation"][3].get<double>() == Approx(-std::sqrt(0.5)));
  CHECK(node["extras"] == nlohmann::json{{"unit", "metre"}, {"voxel_m", 0.05}, {"epoch", "e-1"}});
  CHECK(doc["meshes"][0]["name"] == "map");
  CHECK(doc["materials"][0]["doubleSided"] == false);
  CHECK(doc["materials"][0]["extensions"].contains("KHR_materials_unlit"));
  CHECK(doc["extensionsUsed"] == nlohmann::json{"KHR_materials_unlit"});
  CHECK(glb_document(written(m, mesh_format::glb))["nodes"][0]["rotation"] == nlohmann::json{1.0, 0.0, 0.0, 0.0});
}

TEST_CASE("A PLY file tells unit, voxel size and epoch, and is turned when it is asked to be") {
  auto m = test::ground(0, 3, 3, 0.1f);
  mesh_file_setup setup;
  setup.voxel_m = 0.05f;
  setup.epoch = "e-1";
  setup.up = {0, 0, 1};
  auto file = written(m, mesh_format::ply, setup);
  for (const char* line : {"comment unit metre\n", "comment voxel_m 0.05\n", "comment epoch e-1\n"})
    CHECK_THAT(file, Catch::Contains(line));
  auto vertices = file.find("end_header\n") + 11;
  CHECK(at<float>(file, vertices + 8) == m.positions[2]);
  setup.turn_vertices = true;
  file = written(m, mesh_format::ply, setup);
  vertices = file.find("end_header\n") + 11;
  CHECK(at<float>(file, vertices + 4) == Approx(m.positions[2]));
  CHECK(at<float>(file, vertices + 16) == Approx(1)); // the normal, which was +z
}

TEST_CASE("No file has a triangle without area at its precision") {
  auto m = test::ground(0, 40, 40, 0.05f);
  const auto whole = m.triangles();
  m.positions[3] = m.positions[0]; // two corners in one place
  m.positions[4] = m.positions[1];
  m.positions[5] = m.positions[2];
  const auto count = [&](mesh_format format, float quantum_m) {
    mesh_file_setup setup;
    setup.quantum_m = quantum_m;
    std::ostringstream out;
    return write_mesh(out, m, format, setup).triangles;
  };
  CHECK(count(mesh_format::ply, 0.001f) == whole - 1);
  CHECK(count(mesh_format::glb, 0.001f) == whole - 1);
  CHECK(count(mesh_format::drc, 0.001f) == whole - 1);
  CHECK(count(mesh_format::drc, 0.2f) < whole / 2); // a grid so coarse that most of it is gone
}

TEST_CASE("Colours of a GLB file are linear light") {
  mesh m = test::ground(0, 1, 1, 1);
  m.colours = {0, 128, 255, 10, 10, 10, 0, 0, 0, 255, 255, 255};
  auto file = written(m, mesh_format::glb);
  auto json_bytes = at<uint32_t>(file, 12);
  auto doc = nlohmann::json::parse(file.substr(20, json_bytes));
  const auto& accessor = doc["accessors"][doc["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"].get<size_t>()];
  CHECK(accessor["normalized"] == true);
  CHECK(accessor["componentType"] == 5123);
  auto start = 28 + json_bytes + doc["bufferViews"][accessor["bufferView"].get<size_t>()]["byteOffset"].get<size_t>();
  CHECK(at<uint16_t>(file, start) == 0);
  CHECK(at<uint16_t>(file, start + 2) == 14146); // ((128 / 255 + 0.055) / 1.055) ^ 2.4
  CHECK(at<uint16_t>(file, start + 4) == 65535);
  CHECK(at<uint16_t>(file, start + 6) == 65535); // opaque
  CHECK(at<uint16_t>(file, start + 8) == 199);   // 10 / 255 / 12.92: dark, and still there
}

TEST_CASE("An empty mesh makes files that hold nothing") {
  CHECK_THAT(written({}, mesh_format::ply), Catch::Contains("element vertex 0"));
  auto glb = written({}, mesh_format::glb);
  CHECK(at<uint32_t>(glb, 8) == glb.size());
  CHECK_FALSE(nlohmann::json::parse(glb.substr(20, at<uint32_t>(glb, 12))).contains("meshes"));
}

TEST_CASE("A file appears whole or not at all") {
  auto m = test::ground(0, 3, 3, 0.1f);
  test::scratch_file file{"map.ply"};
  save_mesh(file.path(), m, {});
  CHECK(file.read() == written(m, mesh_format::ply));
  CHECK_THROWS_WITH(save_mesh("/tmp/map.obj", m, {}), Catch::Contains(".ply, .glb or .drc"));
  CHECK_THROWS_AS(save_mesh("/nonexistent/map.ply", m, {}), std::system_error);
  mesh bad = m;
  bad.normals.clear();
  test::scratch_file none{"none.glb"};
  CHECK_THROWS_AS(save_mesh(none.path(), bad, {}), std::invalid_argument);
  CHECK_FALSE(std::filesystem::exists(none.path()));
}

TEST_CASE("Open3D reads the files", "[slow]") {
  const std::string python = "/usr/bin/python3";
  if (test::run_program(python + " -c 'import importlib.util,sys; sys.exit(importlib.util.find_spec(\"open3d\") is None)'").status
      != 0) {
    WARN("skipped: python3-open3d is not installed"); // what it brings along is too much for `make test`
    return;
  }
  auto m = test::ground(-3, 9, 11, 0.05f);
  test::scratch_file ply{"o3d.ply"}, glb{"o3d.glb"};
  save_mesh(ply.path(), m, {});
  save_mesh(glb.path(), m, {});
  auto done = test::run_program(python
                                + " -c 'import open3d as o, sys\nfor f in sys.argv[1:]:\n m=o.io.read_triangle_mesh(f)\n"
                                  " print(len(m.vertices), len(m.triangles), m.has_vertex_normals(), m.has_vertex_colors())' "
                                + ply.path().string() + " " + glb.path().string());
  auto line = std::to_string(m.vertices()) + " " + std::to_string(m.triangles()) + " True True\n";
  INFO(done.output);
  CHECK_THAT(done.output, Catch::EndsWith(line + line));
}
