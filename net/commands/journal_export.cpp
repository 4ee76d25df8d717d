#include "net/commands/journal_export.hpp"

#include "gpu/shared/own_frame.hpp"
#include "net/commands/auto_voxel.hpp"
#include "net/publishers/recorder.hpp"

#include <algorithm>
#include <array>
#include <iostream>
#include <unordered_set>
#include <utility>

namespace tessera {

namespace {

using matrix = std::array<double, 9>;

/// Of a 3 x 3 matrix, row-major: the matrix of cofactors, transposed, divided by the determinant.
matrix inverse_of(const float* m) {
  const auto minor = [m](size_t r, size_t c) {
    const auto at = [&](size_t row, size_t column) { return static_cast<double>(m[3 * (row % 3) + column % 3]); };
    return at(r + 1, c + 1) * at(r + 2, c + 2) - at(r + 1, c + 2) * at(r + 2, c + 1);
  };
  const auto determinant
    = static_cast<double>(m[0]) * minor(0, 0) + static_cast<double>(m[1]) * minor(0, 1) + static_cast<double>(m[2]) * minor(0, 2);
  matrix out{};
  for (size_t r = 0; r < 3; ++r)
    for (size_t c = 0; c < 3; ++c)
      out[3 * c + r] = minor(r, c) / determinant;
  return out;
}

} // namespace

keyframe keyframe_of(const stored_keyframe& stored, float voxel_m) {
  // Not the pose itself: its 3 x 3 part is a rotation but for what was rounded, and what makes rays takes its transpose.
  const auto frame = make_own_frame(stored.world_from_camera);
  const auto world_from_own = inverse_of(frame.inverse);
  const auto unit = static_cast<double>(voxel_m) / ray_units_per_voxel;
  auto body = std::make_shared<owned_keyframe_body>();
  for (const auto& one : *stored.rays.rays) {
    const std::array<double, 3> own{one.x * unit, one.y * unit, one.z * unit};
    std::array<float, 3> end{};
    for (size_t r = 0; r < 3; ++r)
      end[r] = static_cast<float>(world_from_own[3 * r] * own[0] + world_from_own[3 * r + 1] * own[1]
                                  + world_from_own[3 * r + 2] * own[2] + static_cast<double>(frame.camera[r]));
    for (uint8_t i = 0; i < one.points; ++i) {
      body->point_data.insert(body->point_data.end(), end.begin(), end.end());
      body->colour_data.insert(body->colour_data.end(), {one.r, one.g, one.b});
    }
  }
  keyframe out;
  out.id = stored.id;
  out.timestamp_ns = stored.timestamp_ns;
  out.received_ns = stored.received_ns;
  out.world_from_camera = stored.world_from_camera;
  out.body = std::move(body);
  out.source = stored.source;
  out.group = stored.group;
  return out;
}

int export_journal(const journal& kept, const std::string& file, progress_style progress, std::stop_token stop) {
  const auto all = kept.keyframes();
  const auto map = kept.map();
  if (!map)
    throw journal_error("the journal " + kept.folder() + " has no keyframes yet");
  std::unordered_set<keyframe_id> out_of_map;
  for (const auto& one : kept.quarantined())
    out_of_map.insert(one.id);
  recorder to(file, {.packing = mcap::packing::zstd, .check = {}, .check_many = {}, .on_failure = {}});
  uint64_t damaged = 0, refused = 0;
  {
    progress_sink sink(to, "journal export", all.size(), progress);
    for (const auto& [number, what] : all) {
      if (stop.stop_requested())
        break;
      if (out_of_map.contains(what.frame.id))
        continue;
      try {
        auto frame = keyframe_of(kept.read(number), map->voxel_m);
        auto fails = false;
        sink.offer(std::move(frame), [&](const verdict& v) {
          refused += v.what != outcome::accepted;
          fails = v.what == outcome::not_now;
        });
        if (fails) // the file takes no more, and close() says why
          break;
      } catch (const damaged_keyframe& e) {
        std::cerr << "tessera: keyframe " << shown(what.frame.id) << " is damaged and left out: " << e.what() << '\n';
        ++damaged;
      }
    }
  }
  to.close();
  const auto counts = to.so_far();
  std::cerr << "tessera: " << file << ": " << counts.keyframes << " of " << all.size() << " keyframes, " << counts.bytes
            << " bytes";
  if (!out_of_map.empty())
    std::cerr << "; " << out_of_map.size() << " in quarantine";
  if (damaged > 0)
    std::cerr << "; " << damaged << " damaged";
  if (stop.stop_requested())
    std::cerr << "; it was told to stop";
  std::cerr << ". Their rays were made with " << describe(*map) << '\n';
  return damaged + refused > 0 || stop.stop_requested() ? 1 : 0;
}

} // namespace tessera
