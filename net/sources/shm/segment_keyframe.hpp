#pragma once

#include "net/formats/notification.hpp"
#include "net/sources/shm/shm_segment.hpp"

namespace tessera {

/// Makes the keyframe of a segment that nobody notified of: time and pose are the header's.
keyframe keyframe_of_segment(std::shared_ptr<const shm_segment> segment, keyframe_id id, pose_layout preferred);

/// The segment holds another keyframe than the notification tells of: perhaps its name was used again.
class other_keyframe : public bad_input {
public:
  using bad_input::bad_input;
};

/// Makes the keyframe of a segment and its notification: the notification's time and pose win. Throws
/// other_keyframe if the two do not belong together, bad_input if there is no good pose.
keyframe keyframe_of_segment(std::shared_ptr<const shm_segment> segment, const notification& note, pose_layout preferred);

} // namespace tessera
