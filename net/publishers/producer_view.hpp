#pragma once

#include "messages/keyframe.hpp"
#include "net/clients/cpp/producer.hpp"
#include "net/formats/segment_header.hpp"

namespace tessera {

// The producer's header stands alone, and must mean the same.
static_assert(producer::pose_tolerance == pose_tolerance && producer::max_id_bytes == keyframe_id::max_bytes
              && producer::max_points == max_keyframe_points);

/// A keyframe as the producer library takes it. Looks at the frame's arrays: the frame must outlive it.
producer::keyframe producer_view(const keyframe& frame);

} // namespace tessera
