#pragma once

#include "actors/base/actor_context.hpp"
#include "actors/intake/input_queue.hpp"

#include <type_traits>
#include <variant>

namespace tessera {

/// Gives a request its place among all that was offered to the process, unless it has one. So a request about many means the same
/// keyframes when a successor of whoever was to do it is asked again.
inline void admit(map_request& what, const actor_context& by) {
  const auto give = [&by](auto& one) {
    if constexpr (requires { one.admission; })
      if (one.admission == 0)
        one.admission = by.next_admission();
  };
  std::visit(
    [&give](auto& one) {
      if constexpr (std::is_same_v<std::remove_reference_t<decltype(one)>, map_input>)
        std::visit(give, one);
      else
        give(one);
    },
    what);
}

} // namespace tessera
