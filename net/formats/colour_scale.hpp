#pragma once

#include "net/formats/canvas.hpp"

namespace tessera {

/// From -1 to 1: red, white at 0, blue (ColorBrewer's RdBu), which people who cannot tell red from green can tell apart.
ink diverging_colour(float value);

/// From 0 to 1: dark violet to yellow (viridis), of a lightness that grows evenly.
ink rising_colour(float value);

} // namespace tessera
