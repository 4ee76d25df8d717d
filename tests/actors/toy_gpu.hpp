#pragma once
// GPUs over the toy field.

#include "toy_service.hpp"

namespace tessera::toy {

inline std::vector<std::shared_ptr<field>> toy_gpus(size_t count) {
  std::vector<std::shared_ptr<field>> out;
  for (size_t i = 0; i < count; ++i)
    out.push_back(std::make_shared<field>(small_map(), std::make_shared<control>(), "toy GPU " + std::to_string(i)));
  return out;
}

/// A service on these GPUs; `by` is the CPU's field, for when none is left.
inline service_config config_on(const std::vector<std::shared_ptr<field>>& gpus, const std::shared_ptr<control>& by) {
  auto out = config_for(by);
  out.gpus.assign(gpus.begin(), gpus.end());
  return out;
}

} // namespace tessera::toy
