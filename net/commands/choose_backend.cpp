#include "net/commands/choose_backend.hpp"

#include <spdlog/spdlog.h>

#include <stdexcept>

namespace tessera {

std::unique_ptr<backend> choose_backend(const std::string& name, const mapping& map, uint64_t cap_bytes) {
  if (name == "cpu" || name == "auto") // there is no faster one yet
    return make_cpu_backend(map, cap_bytes);
  throw std::invalid_argument("backend is \"" + name + "\", not auto or cpu");
}

void tell_backend(const backend& chosen, const std::string& name) {
  spdlog::info("backend {}{}", chosen.name(), name == "auto" ? ", the fastest there is here" : "");
}

} // namespace tessera
