#pragma once

#include "messages/keyframe.hpp"
#include "net/producer.hpp"

namespace tessera {

/// A keyframe as the producer library takes it. Looks at the frame's arrays: the frame must outlive it.
producer::keyframe producer_view(const keyframe& frame);

} // namespace tessera
