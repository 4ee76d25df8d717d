#pragma once

#include "messages/pose.hpp"

#include <cstddef>

namespace tessera {

/// transform * at: where a keyframe is when what it belongs to was moved, similarities both; their scales are multiplied. Each
/// element is summed up in double precision and rounded once, to float, and nothing is made a rotation again: so the result
/// follows from the two alone, and many moves add up little error. The last row is 0 0 0 1.
inline pose moved_pose(const pose& transform, const pose& at) {
  pose out;
  for (size_t row = 0; row < 3; ++row)
    for (size_t column = 0; column < 4; ++column) {
      double sum = column == 3 ? static_cast<double>(transform.m[4 * row + 3]) : 0.0;
      for (size_t k = 0; k < 3; ++k)
        sum += static_cast<double>(transform.m[4 * row + k]) * static_cast<double>(at.m[4 * k + column]);
      out.m[4 * row + column] = static_cast<float>(sum);
    }
  return out;
}

} // namespace tessera
