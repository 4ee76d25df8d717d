#include "net/commands/offline.hpp"

#include "actors/keyframe_check.hpp"
#include "net/commands/choose_backend.hpp"
#include "net/commands/progress.hpp"
#include "net/sinks/mesh_files.hpp"
#include "net/sinks/patch_codec.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <system_error>

namespace tessera {

namespace {

/// Runs the source into a new map. Throws std::runtime_error if not one keyframe came.
std::unique_ptr<offline_map> make_map(const offline_setup& setup, const mapping& map, const std::string& what) {
  auto device = choose_offline_device(setup.backend, map);
  auto options = checked_options(std::max(2u, setup.threads)); // a GPU is to have several keyframes under way
  if (device.gpus.empty())
    options.threads = setup.threads;
  options.devices = device.gpus;
  auto result = std::make_unique<offline_map>(map, std::move(device.fields), std::move(options));
  const auto input = make_source(setup.source, setup.input);
  {
    progress_sink sink(*result, what, input->total(), setup.progress);
    input->run(sink, {});
    result->finish();
  }
  const auto counts = result->counts();
  if (counts.keyframes == 0)
    throw std::runtime_error(setup.source + " has no usable keyframe");
  return result;
}

} // namespace

offline_options checked_options(uint32_t threads) {
  offline_options options;
  options.threads = threads;
  options.check = [](const keyframe& frame) {
    const auto fault = check_keyframe(frame, keyframe_limits{});
    return fault ? fault->text : std::string{};
  };
  return options;
}

int hash_command(const offline_setup& setup, std::ostream& out) {
  const auto result = make_map(setup, mapping_for(setup), "hash");
  const auto stats = result->stats();
  out << to_hex(stats.hash) << " keyframes=" << result->counts().keyframes << " regions=" << result->regions()
      << " blocks=" << stats.blocks << " voxels=" << stats.voxels << std::endl;
  return 0;
}

int mesh_command(const offline_setup& setup, const std::string& file) {
  const auto map = mapping_for(setup);
  // Before the work: a wrong ending or folder is told at once.
  if (!mesh_format_of(file))
    throw std::invalid_argument("the ending of " + file + " is not .ply, .glb or .drc");
  if (const auto folder = std::filesystem::absolute(file).parent_path(); ::access(folder.c_str(), W_OK) != 0)
    throw std::system_error(errno, std::generic_category(), "cannot write into " + folder.string());
  const auto result = make_map(setup, map, "mesh");
  const auto surface = weld(result->meshes());
  save_mesh(file, surface, patch_quantum_m(map.voxel_m));
  std::cerr << "tessera: " << file << ": " << surface.triangles() << " triangles, " << surface.vertices() << " vertices\n";
  return 0;
}

} // namespace tessera
