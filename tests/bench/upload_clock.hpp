#pragma once
// What all of bench_upload measures with.

#include <chrono>

namespace tessera::bench {

using clock = std::chrono::steady_clock;

inline double us_since(clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(clock::now() - begin).count();
}

} // namespace tessera::bench
