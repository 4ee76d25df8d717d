#include "gpu/cuda/why_no_gpu.hpp"

namespace tessera::cuda {

namespace {

std::string version_text(int version) {
  return std::to_string(version / 1000) + '.' + std::to_string(version % 1000 / 10);
}

} // namespace

std::string why_no_gpu(const gpu_failure& failure) {
  if (failure.driver == 0)
    return "no NVIDIA driver is installed, or none is passed into this container (--gpus all)";
  const auto can = "CUDA " + version_text(failure.driver);
  const auto built_with = version_text(failure.runtime);
  if (failure.too_old)
    return "the driver is too old: it can " + can + ", and the program was built with " + built_with
           + ": install a newer driver, or build with " + can;
  return failure.error + " (the driver can " + can + ", the program was built with " + built_with + ')';
}

} // namespace tessera::cuda
