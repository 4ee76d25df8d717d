#pragma once

#include <stdexcept>

namespace tessera {

/// An input from outside that cannot be read at the moment, through no fault of its own: no descriptor or memory
/// is left, its writer is still at work, the disk failed. It stays where it is, and whoever wanted it tries again
/// after a pause. (What would fail again is bad_input.)
class not_now_error : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

/// This process may not read the input. That does not pass of itself: the text says who has to do what, and is
/// worth being shown; but it may be done at any time.
class no_permission : public not_now_error {
public:
  using not_now_error::not_now_error;
};

} // namespace tessera
