#pragma once

#include <string>

namespace tessera::cuda {

/// What the CUDA runtime says when it gives no GPU. Versions are CUDA's numbers: 12020 is 12.2.
struct gpu_failure {
  int driver = 0;       ///< the newest CUDA that the driver can; 0 if there is no driver
  int runtime = 0;      ///< the CUDA that the program was built with
  bool too_old = false; ///< cudaErrorInsufficientDriver, which is also the answer where there is no driver
  std::string error;    ///< the runtime's own text
};

/// Why no GPU can be used and what to do about it, as the end of a sentence.
std::string why_no_gpu(const gpu_failure& failure);

} // namespace tessera::cuda
