// What is said where no GPU can be used.

#include "gpu/cuda/why_no_gpu.hpp"

#include <catch2/catch.hpp>

using tessera::cuda::why_no_gpu;

TEST_CASE("a driver that is missing, too old or broken is told from each other, with what to do") {
  CHECK(why_no_gpu({.driver = 0, .runtime = 13000, .too_old = true, .error = "e"})
        == "no NVIDIA driver is installed, or none is passed into this container (--gpus all)");
  CHECK(why_no_gpu({.driver = 12020, .runtime = 13010, .too_old = true, .error = "e"})
        == "the driver is too old: it can CUDA 12.2, and the program was built with 13.1: install a newer driver, or build with "
           "CUDA 12.2");
  CHECK(why_no_gpu({.driver = 13000, .runtime = 12080, .too_old = false, .error = "system not yet initialized"})
        == "system not yet initialized (the driver can CUDA 13.0, the program was built with 12.8)");
}
