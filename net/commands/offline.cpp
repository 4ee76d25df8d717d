#include "net/commands/offline.hpp"

#include "actors/intake/keyframe_check.hpp"
#include "actors/intake/no_points.hpp"
#include "gpu/map/weld.hpp"
#include "gpu/region_slices.hpp"
#include "net/base/bad_input.hpp"
#include "net/commands/choose_backend.hpp"
#include "net/commands/progress.hpp"
#include "net/formats/image.hpp"
#include "net/formats/mesh_files.hpp"
#include "net/formats/patch_codec.hpp"
#include "net/formats/slice_picture.hpp"
#include "net/formats/whole_file.hpp"
#include "net/sources/amqp/amqp_url.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <new>
#include <stdexcept>
#include <stop_token>
#include <utility>

namespace tessera {

namespace {

/// A map, and which way is up in it.
struct made_map {
  std::unique_ptr<offline_map> map;
  direction up = camera_up;
};

std::string keyframes(uint64_t count) {
  return std::to_string(count) + (count == 1 ? " keyframe" : " keyframes");
}

/// Runs the source into a new map. Throws std::runtime_error if not one keyframe came.
made_map make_map(const offline_setup& setup, const map_settings& map, const std::string& what, const ending& end) {
  const auto input = make_source(setup.source, setup.input); // what it cannot be is told before a GPU is opened
  auto devices = open_offline_devices(setup.backend, map, setup.threads);
  auto options = checked_options(map, devices.are_gpus ? std::max(2u, setup.threads) : setup.threads); // GPUs: several under way
  options.ids_repeat = end.is_needed() || input->ids_repeat();
  options.keep_rays = input->brings_changes();
  std::stop_source stop; // when the map can take no more: what else the source has would be refused
  options.on_failure = [stop]() mutable { stop.request_stop(); };
  const std::stop_callback when_told(end.token(), [&stop] { stop.request_stop(); });
  auto result = std::make_unique<offline_map>(map, std::move(devices.all), std::move(options));
  {
    progress_sink sink(*result, what, input->total(), setup.progress);
    try {
      input->run(sink, stop.get_token());
      result->finish();
    } catch (const std::bad_alloc&) { // half a map is no result
      std::cerr << "tessera: " << what << ": stopped after " << sink.so_far() << ", without a result\n";
      throw;
    }
  }
  if (const auto again = repetitions_text(result->counts()); !again.empty())
    std::cerr << "tessera: " << what << ": " << again << std::endl;
  if (result->counts().keyframes == 0)
    throw std::runtime_error(setup.source + " has no usable keyframe");
  up_estimate cameras;
  for (const auto& [id, at] : result->poses())
    cameras.add(at);
  return {std::move(result), cameras.up()};
}

/// What a mesh's files must tell of the map; `axis` and `up` as the command line has them.
mesh_file_setup about_files(const map_settings& map, const made_map& made, const std::optional<direction>& axis,
                            const std::string& up) {
  mesh_file_setup about;
  about.quantum_m = patch_quantum_m(map.voxel_m);
  about.voxel_m = map.voxel_m;
  about.up = axis.value_or(made.up);
  about.turn_vertices = !up.empty();
  return about;
}

/// The axis that a command line names, or nothing if the cameras are to be asked. Throws std::invalid_argument for other text.
std::optional<direction> checked_axis(const std::string& up) {
  const auto axis = axis_named(up);
  if (!axis && !up.empty() && up != "auto")
    throw std::invalid_argument("up is '" + up + "', which is not x, -x, y, -y, z, -z or auto");
  return axis;
}

} // namespace

ending::ending(const offline_setup& setup, const std::string& what) {
  const auto input = make_source(setup.source, setup.input);
  if (is_amqp_url(setup.source))
    spdlog::warn("{}: what is taken from queue {} is acknowledged{}: a service that uses this queue does not get it. Name "
                 "another queue (--queue)",
                 what, setup.input.amqp.queue, setup.input.amqp.unlink ? ", and its segments are removed" : "");
  if (input->total())
    return;
  told_.emplace();
  if (setup.progress != progress_style::none)
    std::cerr
      << "tessera: " << what << ": " << input->where()
      << " has no end: Ctrl+C (SIGINT or SIGTERM) ends it, and the result is of what came until then; a second one ends it "
         "without a result"
      << std::endl;
}

std::string repetitions_text(const offline_counts& counts) {
  std::string text;
  if (counts.duplicates > 0)
    text = keyframes(counts.duplicates) + " came again with the same content, and "
           + (counts.duplicates == 1 ? "counts" : "count") + " once";
  if (counts.conflicts > 0)
    text += (text.empty() ? "" : "; ") + keyframes(counts.conflicts) + " had the id of an earlier one with other content, and "
            + (counts.conflicts == 1 ? "was" : "were") + " left out";
  if (counts.kept_out > 0)
    text += (text.empty() ? "" : "; ") + keyframes(counts.kept_out) + " had been retracted before "
            + (counts.kept_out == 1 ? "it" : "they") + " came, and stayed out";
  return text;
}

offline_options checked_options(const map_settings& map, uint32_t threads) {
  offline_options options;
  options.threads = threads;
  options.check = [](const keyframe& frame) {
    const auto fault = check_keyframe(frame, keyframe_limits{});
    return fault ? fault->text : std::string{};
  };
  options.check_pose = [](const pose& at) {
    const auto fault = check_pose(at);
    return fault ? fault->text : std::string{};
  };
  options.why_empty = [map](const ray_counts& counts, uint64_t beyond) { return no_points_text(map, counts, beyond); };
  return options;
}

int hash_command(const offline_setup& setup, std::ostream& out) {
  const ending end(setup, "hash");
  const auto [result, up] = make_map(setup, map_settings_for(setup, end.token()), "hash", end);
  const auto stats = result->stats();
  out << to_hex(stats.hash) << " keyframes=" << result->counts().keyframes << " regions=" << result->regions()
      << " blocks=" << stats.blocks << " voxels=" << stats.voxels << std::endl;
  return 0;
}

int mesh_command(const offline_setup& setup, const std::string& file, const std::string& up) {
  // Before the work: a wrong ending or folder is told at once.
  if (!mesh_format_of(file))
    throw std::invalid_argument("output is '" + file + "', which does not end in .ply, .glb or .drc");
  if (std::filesystem::is_directory(file))
    throw std::invalid_argument("output is '" + file + "', which is a folder");
  const auto axis = checked_axis(up);
  check_folder_of(file);
  const ending end(setup, "mesh");
  const auto map = map_settings_for(setup, end.token());
  const auto made = make_map(setup, map, "mesh", end);
  if (setup.progress != progress_style::none)
    std::cerr << "tessera: mesh: making the surface and writing " << file << std::endl;
  const auto written = save_mesh(file, weld(made.map->meshes()), about_files(map, made, axis, up));
  std::cerr << "tessera: " << file << ": " << written.triangles << " triangles, " << written.vertices << " vertices\n";
  return 0;
}

int region_meshes_command(const offline_setup& setup, const std::string& folder, const std::string& up) {
  // Before the work, as above. Files of an earlier map must not pass for regions of this one.
  const std::filesystem::path in = folder;
  if (std::filesystem::exists(in) && (!std::filesystem::is_directory(in) || !std::filesystem::is_empty(in)))
    throw std::invalid_argument("output is '" + folder + "', which is neither new nor an empty folder");
  const auto axis = checked_axis(up);
  std::filesystem::create_directory(in);
  check_folder_of(in / "region");
  const ending end(setup, "mesh");
  const auto map = map_settings_for(setup, end.token());
  const auto made = make_map(setup, map, "mesh", end);
  if (setup.progress != progress_style::none)
    std::cerr << "tessera: mesh: making the surface and writing into " << folder << std::endl;
  const auto about = about_files(map, made, axis, up);
  mesh_counts sum;
  size_t files = 0;
  for (const auto& [key, version, surface] : made.map->meshes()) {
    const auto name = std::to_string(key.x) + "," + std::to_string(key.y) + "," + std::to_string(key.z) + ".ply";
    const auto written = save_mesh(in / name, *surface, about);
    sum.triangles += written.triangles;
    sum.vertices += written.vertices;
    ++files;
  }
  std::cerr << "tessera: " << folder << ": " << files << (files == 1 ? " region, " : " regions, ") << sum.triangles
            << " triangles, " << sum.vertices << " vertices\n";
  return 0;
}

int slice_command(const offline_setup& setup, const std::map<std::string, std::string>& options, const std::string& file) {
  // Before the work, as above.
  slice_options wanted;
  try {
    for (const auto& option : slice_option_table())
      if (const auto its = options.find(std::string(option.name)); its != options.end() && !its->second.empty())
        read_slice_option(option, its->second, wanted);
    if (!setup.voxel)
      plane_of(wanted, setup.map.voxel_m);
  } catch (const bad_input& e) {
    throw std::invalid_argument(e.what());
  }
  check_output(file, ".png");
  const ending end(setup, "slice");
  const auto map = map_settings_for(setup, end.token());
  const auto plane = plane_of(wanted, map.voxel_m);
  const auto made = make_map(setup, map, "slice", end);
  const auto slice = made.map->slice(plane);
  if (const auto fault = fault_of_slice(slice, wanted, most_slice_regions(map)); !fault.empty())
    throw std::runtime_error(fault);
  const auto picture = draw_slice(slice, plane, wanted, {map.voxel_m, map.truncation_m, map.region_voxels});
  const auto png = encode_png(picture);
  write_whole_file(file, [&](std::ostream& out) {
    out.write(reinterpret_cast<const char*>(png.data()), static_cast<std::streamsize>(png.size()));
  });
  std::cerr << "tessera: " << file << ": " << picture.width << " x " << picture.height << " pixels, " << slice.parts.size()
            << (slice.parts.size() == 1 ? " region\n" : " regions\n");
  return 0;
}

} // namespace tessera
