#include "actors/intake/admission.hpp"

#include <atomic>
#include <variant>

namespace tessera {

namespace {

std::atomic<uint64_t> admissions{0}; // of the process, as a keyframe store may see more than one service

struct give_place {
  template <class T>
  void operator()(T& one) const {
    if constexpr (requires { one.admission; })
      if (one.admission == 0)
        one.admission = admissions.fetch_add(1, std::memory_order_relaxed) + 1;
  }
};

} // namespace

void admit(map_request& what) {
  if (auto* input = std::get_if<map_input>(&what))
    std::visit(give_place{}, *input);
  else
    std::visit(give_place{}, what);
}

} // namespace tessera
