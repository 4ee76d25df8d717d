#pragma once

#include <cstddef>

namespace tessera {

/// Notes the largest single allocation of this thread while it lives.
class allocation_watch {
public:
  allocation_watch();
  [[nodiscard]] size_t largest() const;
};

} // namespace tessera
