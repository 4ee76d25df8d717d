#pragma once

#include <exception>
#include <string>

namespace tessera {

/// Why a keyframe is not taken.
enum class failure_kind {
  torn,   ///< the points changed while they were read
  bad,    ///< it would be refused again
  memory, ///< nothing was changed
  device, ///< it failed, and the map is lost
};

failure_kind kind_of(const std::exception_ptr& why);
std::string text_of(const std::exception_ptr& why);

} // namespace tessera
