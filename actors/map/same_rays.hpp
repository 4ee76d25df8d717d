#pragma once

#include "messages/ray.hpp"

#include <vector>

namespace tessera {

/// Tells whether two keyframes have the same rays. Their order means nothing: a GPU gives them in another one than the CPU.
bool same_rays(const std::vector<ray>& a, const std::vector<ray>& b);

} // namespace tessera
