#pragma once
// The actors' interfaces, in the order data flows: source, ingest, partitioner, mesher, broadcaster, session. Those of devices
// and of placement, which speak of fields, are in actors/map/device.hpp and actors/map/placement.hpp.

#include "messages/types.hpp" // type ids and inspectors of everything below

#include <caf/all.hpp>

namespace tessera {

/// One per region: owns its surface. Meshes the region's field on its device when that has changed, and tells the broadcaster
/// when the surface has; encodes it when somebody wants it.
using mesher_actor = caf::typed_actor<
  /// The region's field has changed: by a keyframe of these times (producer's, received; ns), or by one that went (0, 0). Last:
  /// the number of the newest keyframe in it, 0 if there is none.
  caf::reacts_to<dirty_atom, uint64_t, uint64_t, uint64_t>,
  /// Answers when a surface was made of all that it was told of, and the broadcaster told if it is a new one; with the newest's
  /// number.
  caf::replies_to<caf::flush_atom>::with<uint64_t>,
  /// What it told last. The field is not counted.
  caf::replies_to<status_atom>::with<region_status>,
  /// True: the field is being filled again, hold patches back so that no viewer sees half a region. False: it is whole, publish.
  caf::reacts_to<refill_atom, bool>,
  /// Somebody will be sent the region's surface of this version, or a newer one: encode it in this form.
  caf::reacts_to<want_atom, uint64_t, patch_form>>;

/// Checks keyframes and refuses bad ones with a reason; bounds how many are under way. The partitioner knows which ids are live.
using ingest_actor = caf::typed_actor<
  /// Takes a keyframe in, moves it or takes it out. Answers when it is safe, when every region has moved it, or when no region
  /// holds it any more; or when it is set aside, or live already.
  caf::replies_to<ingest_atom, map_input>::with<verdict>,
  /// Takes out all keyframes that match; answers with their number when no region holds any of them.
  caf::replies_to<retract_atom, keyframe_selection>::with<verdict>,
  /// Moves many keyframes, or refuses all of it if an entry is bad; answers when each is moved, or left as it was.
  caf::replies_to<revise_atom, correction>::with<verdict>,
  /// Counts an input that could not be made a keyframe: source, what, reason.
  caf::reacts_to<aside_atom, std::string, std::string, std::string>>;

/// Has keyframes taken into the fields of all devices, keeps their rays in the store, and tells each region's mesher what touched
/// it. It alone decides which keyframes are live.
using partitioner_actor = caf::typed_actor<
  /// Does what was checked. A keyframe comes: if its id is live, with the same content, it counts once; with other content, that
  /// is a conflict, and nothing changes. One moves: it is integrated under the new pose, then retracted under the old one; if
  /// there is no room for it, it stays. One goes.
  caf::replies_to<ingest_atom, map_input>::with<verdict>,
  /// Takes out all keyframes that match and came before, a few at a time. Answers with their number when all are gone.
  caf::replies_to<retract_atom, keyframe_selection>::with<verdict>,
  /// Moves many keyframes, a few at a time, each as a revision does; of a group those that came before. Meshers hear of it when
  /// all are done, so that viewers see each region change once, unless that takes long.
  caf::replies_to<revise_atom, correction>::with<verdict>,
  /// The region has a new mesher, since the old one died: tells it when the region's field is whole.
  caf::reacts_to<refill_atom, region_key, mesher_actor>,
  /// Sums up the map over all regions, after everything sent before.
  caf::replies_to<status_atom>::with<map_status>,
  /// Lists all regions.
  caf::replies_to<list_atom>::with<std::vector<region_status>>,
  /// Collects the meshes of all regions.
  caf::replies_to<mesh_atom>::with<std::vector<region_mesh>>,
  /// Collects what regions have in a plane, a few at a time, each as it is when its turn comes: nothing waits for it.
  caf::replies_to<slice_atom, field_plane>::with<field_slice>>;

/// Starts meshers. Watches them and the actors of which there is one each, and starts a successor of each that dies; what a dead
/// one held is made again from the keyframe store. The service ends if that cannot be done, or if the supervisor itself dies.
using supervisor_actor = caf::typed_actor<
  /// Returns the region's mesher, starting it if there is none.
  caf::replies_to<place_atom, region_key>::with<mesher_actor>,
  /// Kills a region's mesher: a drill for operators and tests. Answers false if there is none.
  caf::replies_to<kill_atom, region_key>::with<bool>>;

/// One per viewer: knows what the viewer still lacks, and sends the most wanted patch whenever the socket can take one.
/// The socket is behind a callback given at spawn; text frames carry JSON.
using session_actor = caf::typed_actor<
  /// A region's newest patch, encoded or not; replaces an older one that was not sent yet.
  caf::reacts_to<patch_atom, patch>,
  /// Cameras that came or went.
  caf::reacts_to<camera_atom, std::vector<camera>>,
  /// The viewer asks for the stream.
  caf::reacts_to<subscribe>,
  /// The viewer moved.
  caf::reacts_to<view>,
  /// The viewer has patches on screen.
  caf::reacts_to<ack>,
  /// The viewer wants regions again, whole.
  caf::reacts_to<lost>,
  /// The socket took the last frame: the next may follow.
  caf::reacts_to<sent_atom>>;

/// Keeps the newest patch of each region and gives each session what it lacks. Newest wins; nothing queues.
using broadcaster_actor = caf::typed_actor<
  /// A region's surface changed, or was encoded. From its mesher.
  caf::reacts_to<patch_atom, patch>,
  /// A session will send the region's newest patch next, in this form: all are given it when it is encoded.
  caf::reacts_to<want_atom, session_actor, region_key, patch_form>,
  /// A session's viewer has lost these regions: it is given their newest patches.
  caf::reacts_to<session_actor, lost>,
  /// Cameras that came or went.
  caf::reacts_to<camera_atom, std::vector<camera>>,
  /// A session wants everything that it does not have, then all changes. Answers with this run's epoch.
  caf::replies_to<join_atom, session_actor, subscribe>::with<std::string>,
  /// A session ended.
  caf::reacts_to<leave_atom, session_actor>,
  /// Returns a region's newest patch, encoded; without triangles and frame if there is none.
  caf::replies_to<patch_atom, region_key>::with<patch>,
  /// Lists the newest patches; those that nobody wanted without a frame.
  caf::replies_to<list_atom>::with<std::vector<patch>>,
  /// Lists the newest cameras.
  caf::replies_to<camera_atom>::with<std::vector<camera>>>;

/// Answers what every actor is, does, holds and waits for.
using inspector_actor = caf::typed_actor<
  /// Lists all actors of this node.
  caf::replies_to<status_atom>::with<std::vector<actor_status>>>;

} // namespace tessera
