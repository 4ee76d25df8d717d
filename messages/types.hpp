#pragma once
// CAF type ids, atoms and inspectors of all messages. Include this to send or receive; include the small headers to only name types.

#include "messages/ids.hpp"
#include "messages/keyframe.hpp"
#include "messages/map.hpp"
#include "messages/pose.hpp"
#include "messages/ray.hpp"
#include "messages/status.hpp"
#include "messages/talk.hpp"
