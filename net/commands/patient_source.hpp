#pragma once

#include "net/sources/source.hpp"

#include <chrono>
#include <memory>

namespace tessera {

/// How long a patient source waits before it offers again what was not taken.
struct patience {
  std::chrono::milliseconds first{200}, most{5'000};
};

/// A source whose keyframes nobody else keeps, such as a folder: what a service cannot take now is offered again, after a pause
/// that grows, before anything new. The source waits meanwhile, and at its end until all was taken, or a stop is asked for.
std::unique_ptr<source> make_patient(std::unique_ptr<source> inner, patience pauses = {});

} // namespace tessera
