#pragma once

#include "actors/base/actor_context.hpp"
#include "actors/map/device.hpp"
#include "actors/regions/encoder_pool.hpp"
#include "actors/regions/told_surfaces.hpp"
#include "messages/actors.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>

namespace tessera {

/// The newest insertion (keyframe_ledger) in a surface that was made of a region: written by its mesher, and read when that died.
using surface_mark = std::shared_ptr<std::atomic<uint64_t>>;

/// What a mesher is told when it starts.
struct mesher_config {
  region_key region;
  device_id device;
  /// How often this region's mesher died: how many successors it had.
  uint64_t generation = 0;
  /// Its versions, but for that of `before`, are larger than this one, which is at least that of all meshers before it.
  uint64_t version = 0;
  /// Least time between two patches.
  std::chrono::milliseconds patch_interval{0};
  /// Least time between two surfaces while nobody wants one: then they serve to tell how large the map is.
  std::chrono::milliseconds unwanted_interval{1000};
  /// Where surfaces are encoded. Weak: an actor may be destroyed in a thread of the pool, which cannot end the pool.
  std::weak_ptr<encoder_pool> encoders;
  surface_mark shown = std::make_shared<surface_mark::element_type>(0);
  /// Where it is kept what viewers were told; null: nowhere.
  std::shared_ptr<told_surfaces> told{};
  /// What an earlier process told of the region. If the surface is that, when all of it is there, it is told under its version.
  std::optional<told_surface> before{};
};

/// A mesher as the supervisor sees it.
using mesher_setup = mesher_actor::extend<
  /// There is a new broadcaster: gives it the newest patch.
  caf::reacts_to<caf::put_atom, broadcaster_actor>,
  /// The broadcaster let go of what was encoded of the newest surface: what is wanted of it must be made again.
  caf::reacts_to<caf::delete_atom>,
  /// Nothing more is sent to it: it ends when viewers have been told of all that was done.
  caf::reacts_to<leave_atom>>;

/// Starts a region's mesher. One of a later generation holds its patches back until it is told that its field is whole; so does
/// one of a region of which viewers may have a surface already (`before`).
mesher_setup spawn_mesher(caf::actor_system& system, actor_context context, device_actor device, broadcaster_actor broadcaster,
                          mesher_config config);

} // namespace tessera
