// Which voxels a source's map has observed: bench_observed SOURCE VOXEL_M EVERY FILE. Writes their coordinates (x y z, int32
// each) to FILE and prints the map's hash. tests/bench/quality.py asks it.
//
// Devices do not give their voxels away. So the map is made twice: by the CPU's fields, and by the plain field that tests compare
// it with; where the hashes are equal, the voxels are the same.

#include "gpu/map/offline_map.hpp"
#include "gpu/rays.hpp"
#include "net/sources/source_table.hpp"
#include "tests/gpu/plain_field.hpp"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <stdexcept>

using namespace tessera;

namespace {

/// Gives each keyframe to both.
class both_maps final : public keyframe_sink {
public:
  explicit both_maps(const map_settings& map) : map_{map}, field{map, {make_cpu_fields(map, {.threads = 0})}, {}}, plain{map} {}
  void offer(map_input what, completion done) override {
    const auto* frame = std::get_if<keyframe>(&what);
    if (frame == nullptr)
      return done({outcome::unknown, {}});
    ray_counts counts;
    plain.add(make_rays(map_, *frame->body, frame->world_from_camera, counts), frame->world_from_camera);
    field.offer(std::move(what), std::move(done));
  }
  void set_aside(const std::string& source, const std::string& what, const std::string& reason) override {
    throw std::runtime_error(source + " " + what + ": " + reason);
  }

private:
  map_settings map_;

public:
  offline_map field;
  test::plain_field plain;
};

} // namespace

int main(int argc, char** argv) try {
  if (argc != 5) {
    std::fprintf(stderr, "usage: bench_observed SOURCE VOXEL_M EVERY FILE\n");
    return 2;
  }
  map_settings map;
  map.voxel_m = static_cast<float>(std::atof(argv[2]));
  map.truncation_m = 3 * map.voxel_m;
  source_options input;
  input.sequence.every = static_cast<uint32_t>(std::max(1, std::atoi(argv[3])));
  both_maps maps{map};
  make_source(argv[1], input)->run(maps, {});
  maps.field.finish();
  const auto hash = maps.field.stats().hash;
  if (maps.plain.hash() != hash)
    throw std::runtime_error("the plain field is another one than the device's");
  std::ofstream out{argv[4], std::ios::binary};
  for (const auto& [at, words] : maps.plain.voxels())
    if (maps.plain.observed(at))
      out.write(reinterpret_cast<const char*>(at.data()), sizeof at);
  if (!out.flush())
    throw std::runtime_error(std::string{argv[4]} + " cannot be written");
  std::printf("%s\n", to_hex(hash).c_str());
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "bench_observed: %s\n", e.what());
  return 1;
}
