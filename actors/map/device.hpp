#pragma once

#include "actors/base/actor_context.hpp"
#include "gpu/fields.hpp"
#include "messages/actors.hpp"

#include <memory>

namespace tessera {

/// A keyframe's rays alone. Stays in the process.
struct made_rays {
  std::vector<ray> rays;
  ray_counts counts;
};

/// A region's field. Stays in the process.
using shared_image = std::shared_ptr<region_image>;

} // namespace tessera

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::take_request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::take_report)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::made_rays)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::shared_image)

namespace tessera {

/// One per GPU, or one for the CPU: the way to its fields (gpu/fields.hpp), which do what is asked in threads of their own, and
/// in the order that is said there. Never blocks a sender.
///
/// Errors: ec::out_of_memory, there is no room in the map; ec::no_memory, there is none in the process; ec::torn; ec::rays_lost;
/// ec::bad_keyframe, it would be refused again. After these nothing has changed. ec::fields_lost, ec::device_failed, or the
/// actor's end: all that the fields held is lost.
using device_actor = caf::typed_actor<
  /// Adds a keyframe to all regions of this device that it touches, or takes it away from them; or changes nothing.
  caf::replies_to<take_atom, take_request>::with<take_report>,
  /// Makes a keyframe's rays alone.
  caf::replies_to<rays_atom, keyframe>::with<made_rays>,
  /// The region's mesh as it is soon (version 0: the mesher counts versions).
  caf::replies_to<extract_atom, region_key>::with<region_mesh>,
  /// The region's mesh after all that was asked before.
  caf::replies_to<mesh_atom, region_key>::with<region_mesh>,
  /// What the region has in a plane that goes through it.
  caf::replies_to<slice_atom, region_key, field_plane>::with<region_slice>,
  /// Hashes and counts the region's own blocks.
  caf::replies_to<status_atom, region_key>::with<field_stats>,
  /// The region's field. Never null.
  caf::replies_to<export_atom, region_key>::with<shared_image>,
  /// Adds that to the region's field; answers with the region. What it holds is the device's from now on.
  caf::replies_to<import_atom, region_key, shared_image>::with<region_key>,
  /// Forgets the region's field.
  caf::reacts_to<drop_atom, region_key>,
  /// Forgets all fields.
  caf::reacts_to<clear_atom>>;

/// Starts a device over the fields of a map. What is asked of it is passed on at once, and what the fields answer comes back to
/// it as a message: neither waits for the other. Any exception of the fields but those above ends the device with
/// ec::device_failed; what follows the text is the region, if it was about a region's mesh. A device that was killed may have a
/// successor over the same fields: what the first one asked for takes effect before a clear_atom of that one.
///
/// Something other than an actor must own `fields` until the device has ended: the last reference waits for their threads.
device_actor spawn_device(caf::actor_system& system, actor_context context, device_id id, const map_settings& map,
                          std::shared_ptr<async_fields> fields);

} // namespace tessera
