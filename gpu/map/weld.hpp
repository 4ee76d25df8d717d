#pragma once

#include "messages/map.hpp"

#include <span>

namespace tessera {

/// Joins region meshes into one mesh of the whole map in canonical order: shared border vertices become one. The result does not
/// depend on the cut.
mesh weld(std::span<const region_mesh> regions);

} // namespace tessera
