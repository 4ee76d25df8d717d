#include "net/sources/shm/segment_keyframe.hpp"

#include "messages/clock.hpp"

namespace tessera {

keyframe keyframe_of_segment(std::shared_ptr<const shm_segment> segment, keyframe_id id, pose_layout preferred) {
  keyframe frame;
  frame.id = std::move(id);
  frame.timestamp_ns = segment->header().timestamp_ns;
  frame.received_ns = system_ns();
  frame.world_from_camera = pose_of(segment->header().pose_matrix, preferred);
  frame.body = std::move(segment);
  return frame;
}

keyframe keyframe_of_segment(std::shared_ptr<const shm_segment> segment, const notification& note, pose_layout preferred) {
  const auto& header = segment->header();
  if (note.point_count && *note.point_count != header.point_count)
    throw other_keyframe("point_count is " + std::to_string(*note.point_count) + " in the notification, but "
                         + std::to_string(header.point_count) + " in segment " + segment->name());
  keyframe frame;
  frame.id = note.id;
  frame.timestamp_ns = note.timestamp_ns.value_or(header.timestamp_ns);
  frame.received_ns = system_ns();
  frame.world_from_camera = note.world_from_camera ? *note.world_from_camera : pose_of(header.pose_matrix, preferred);
  frame.body = std::move(segment);
  return frame;
}

} // namespace tessera
