#pragma once

#include "gpu/backend.hpp"

#include <memory>
#include <string>

namespace tessera {

/// Makes the backend of that name: cpu, or auto for the fastest there is. The one place where commands choose: a backend of
/// another kind is added here and in the setting's choices. Throws std::invalid_argument for another name.
std::unique_ptr<backend> choose_backend(const std::string& name, const mapping& map, uint64_t cap_bytes);

/// Tells the log which backend does the work, and what asked for it.
void tell_backend(const backend& chosen, const std::string& name);

} // namespace tessera
