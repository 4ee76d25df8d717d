#pragma once

#include "net/server/server_core.hpp"

#include <string>

namespace tessera {

/// What keeps the service from taking keyframes at the moment, in words; empty if nothing does.
std::string why_not_ready(const server_core& core);

/// The answer to who asks for it; `ready` is what it says if nothing is in the way.
http_reply readiness(const server_core& core, const std::string& ready = "ready");

} // namespace tessera
