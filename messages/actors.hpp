#pragma once
// Every actor's interface, in the order data flows: source, ingest, partitioner, mesher, broadcaster, session.

#include "messages/types.hpp" // type ids and inspectors of everything below

#include <caf/all.hpp>

namespace tessera {

/// One per GPU, or one for the CPU: owns the memory and does the work of all meshers placed on it. Never blocks a sender.
/// What is asked for one region is done one after another, in the order of arrival; regions are worked side by side.
using device_actor = caf::typed_actor<
  /// Applies all jobs to the region's field; answers when the field has changed. ec::out_of_memory: nothing was changed.
  caf::replies_to<integrate_atom, region_key, std::vector<ray_job>>::with<void>,
  /// Re-meshes what changed since the last extraction; answers with the region's whole mesh (version 0: the mesher counts
  /// versions). ec::out_of_memory: ask again later.
  caf::replies_to<extract_atom, region_key>::with<region_mesh>,
  /// Hashes and counts the region's own blocks.
  caf::replies_to<status_atom, region_key>::with<field_stats>,
  /// Forgets the region's field.
  caf::reacts_to<drop_atom, region_key>>;

/// One per region: queues what changes its region, has it applied on its device, and publishes a patch when the surface changed.
using mesher_actor = caf::typed_actor<
  /// Adds (or takes away) a keyframe's rays; answers when the field has changed, which is what gives the sender credit.
  /// ec::out_of_memory: they were not added. Taking away is never refused.
  caf::replies_to<integrate_atom, ray_job>::with<void>,
  /// Counts the region's field as it is after everything sent before.
  caf::replies_to<status_atom>::with<region_status>,
  /// Returns the region's mesh after everything sent before.
  caf::replies_to<mesh_atom>::with<region_mesh>,
  /// True: a refill begins, hold patches back so that no viewer sees half a region. False: all was sent, publish when applied.
  caf::reacts_to<refill_atom, bool>>;

/// Checks keyframes and refuses bad ones with a reason; bounds how many are under way. The partitioner knows which ids are live.
using ingest_actor = caf::typed_actor<
  /// Takes a keyframe in; answers when it is safe or set aside, or live already.
  caf::replies_to<ingest_atom, keyframe>::with<verdict>,
  /// Takes a keyframe out; answers when no region holds it any more.
  caf::replies_to<retract_atom, keyframe_id>::with<verdict>,
  /// Takes out all keyframes that match; answers with their number when no region holds any of them.
  caf::replies_to<retract_atom, keyframe_selection>::with<verdict>,
  /// Moves a keyframe; answers when every region has moved it.
  caf::replies_to<revise_atom, keyframe_id, pose>::with<verdict>,
  /// Counts an input that could not be made a keyframe: source, what, reason.
  caf::reacts_to<aside_atom, std::string, std::string, std::string>>;

/// Makes rays, keeps them in the store, and hands each region those that touch it. It alone decides which keyframes are live.
using partitioner_actor = caf::typed_actor<
  /// Adds a checked keyframe to the map. If its id is live, with the same content: it counts once; with other content: that is a
  /// conflict, and nothing changes.
  caf::replies_to<integrate_atom, keyframe>::with<verdict>,
  /// Takes a keyframe out of the map.
  caf::replies_to<retract_atom, keyframe_id>::with<verdict>,
  /// Takes out all keyframes that match and came before, a few at a time. Answers with their number when all are gone.
  caf::replies_to<retract_atom, keyframe_selection>::with<verdict>,
  /// Moves a keyframe: integrates it under the new pose, then retracts it under the old one. If there is no room for it, it
  /// stays.
  caf::replies_to<revise_atom, keyframe_id, pose>::with<verdict>,
  /// Refills a new mesher of a region with the rays of all live keyframes, after the old one died.
  caf::reacts_to<refill_atom, region_key, mesher_actor>,
  /// Sums up the map over all regions, after everything sent before.
  caf::replies_to<status_atom>::with<map_status>,
  /// Lists all regions.
  caf::replies_to<list_atom>::with<std::vector<region_status>>,
  /// Collects the meshes of all regions.
  caf::replies_to<mesh_atom>::with<std::vector<region_mesh>>>;

/// Maps regions to devices (later: of all nodes), by rendezvous hashing weighted by capacity.
using placement_actor = caf::typed_actor<
  /// Returns the device a region belongs to.
  caf::replies_to<place_atom, region_key>::with<device_id, device_actor>>;

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
  /// A region's newest patch; replaces an older one that was not sent yet.
  caf::reacts_to<patch_atom, patch>,
  /// Cameras that came or went.
  caf::reacts_to<camera_atom, std::vector<camera>>,
  /// The viewer asks for the stream.
  caf::reacts_to<subscribe>,
  /// The viewer moved.
  caf::reacts_to<view>,
  /// The viewer has patches on screen.
  caf::reacts_to<ack>,
  /// The socket took the last frame: the next may follow.
  caf::reacts_to<sent_atom>>;

/// Keeps the newest patch of each region and gives each session what it lacks. Newest wins; nothing queues.
using broadcaster_actor = caf::typed_actor<
  /// A region's surface changed.
  caf::reacts_to<patch_atom, patch>,
  /// Cameras that came or went.
  caf::reacts_to<camera_atom, std::vector<camera>>,
  /// A session wants everything that it does not have, then all changes. Answers with this run's epoch.
  caf::replies_to<join_atom, session_actor, subscribe>::with<std::string>,
  /// A session ended.
  caf::reacts_to<leave_atom, session_actor>,
  /// Returns a region's newest patch, or an empty frame if there is none.
  caf::replies_to<patch_atom, region_key>::with<patch>,
  /// Lists the newest patches.
  caf::replies_to<list_atom>::with<std::vector<patch>>,
  /// Lists the newest cameras.
  caf::replies_to<camera_atom>::with<std::vector<camera>>>;

/// Answers what every actor is, does, holds and waits for.
using inspector_actor = caf::typed_actor<
  /// Lists all actors of this node.
  caf::replies_to<status_atom>::with<std::vector<actor_status>>>;

} // namespace tessera
