#pragma once
// The devices that tests run on: the emulated one, and where this program was built with CUDA and finds a GPU, that GPU.

#include "cuda_emulated.hpp"

#include "gpu/cuda/field_queue.hpp"
#ifdef TESSERA_CUDA
#include "gpu/cuda/cuda_backend.hpp"
#endif

#include <catch2/catch.hpp>

#include <cstdlib>
#include <functional>
#include <future>
#include <string>
#include <vector>

namespace tessera::test {

struct device_under_test {
  std::string name;
  std::function<std::shared_ptr<async_fields>(const map_settings&, const cuda::field_options&)> open;
};

inline std::shared_ptr<async_fields> open_emulated(const map_settings& map, const cuda::field_options& options,
                                                   emulated_device::options how = {}) {
  return std::make_shared<cuda::field_queue<emulated_device>>(std::make_unique<emulated_device>(how), map, options);
}

inline std::vector<device_under_test> find_devices() {
  std::vector<device_under_test> out;
  // TESSERA_TEST_DEVICES=gpu leaves the emulated ones out, so that tools for GPUs see nothing else.
  const char* only = std::getenv("TESSERA_TEST_DEVICES");
  if (only == nullptr || std::string(only) != "gpu")
    for (const unsigned threads : {1u, 4u})
      out.push_back(
        {"emulated, threads: " + std::to_string(threads), [threads](const map_settings& map, const cuda::field_options& o) {
           return open_emulated(map, o, {.threads = threads, .seed = std::random_device{}()});
         }});
#ifdef TESSERA_CUDA
  const auto gpus = cuda::list_devices();
  if (gpus.empty())
    WARN("no CUDA device was found: only the emulated device is tested");
  else
    out.push_back({gpus.front(), [](const map_settings& map, const cuda::field_options& o) {
                     return std::shared_ptr<async_fields>(cuda::open_device(0, map, o));
                   }});
  // Of several GPUs each call opens the next: what is shared by devices then is shared by different ones.
  if (gpus.size() > 1)
    out.push_back({std::to_string(gpus.size()) + " GPUs in turns",
                   [turn = std::make_shared<std::atomic<size_t>>(1), count = gpus.size()](const map_settings& map,
                                                                                          const cuda::field_options& o) {
                     return std::shared_ptr<async_fields>(cuda::open_device(static_cast<int>((*turn)++ % count), map, o));
                   }});
#endif
  return out;
}

inline const std::vector<device_under_test>& devices() {
  static const auto all = find_devices();
  return all;
}

/// A pool of a few blocks: tests hold little.
inline cuda::field_options small_pool(uint64_t blocks = 4096, uint64_t host_bytes = 0) {
  cuda::field_options o;
  o.pool_bytes = blocks * 12'288;
  o.host_bytes = host_bytes;
  o.most_regions = 512;
  o.ray_lanes = 1;
  o.poison = std::getenv("TESSERA_TEST_NO_POISON") == nullptr; // initcheck takes poison for a value
  return o;
}

/// Waits for a keyframe's rays.
inline std::vector<ray> rays_of(async_fields& device, std::shared_ptr<const keyframe_body> body, const pose& at,
                                ray_counts& counts) {
  std::promise<std::vector<ray>> promise;
  auto future = promise.get_future();
  device.rays(std::move(body), at, [&](std::vector<ray> rays, const ray_counts& c, const std::exception_ptr& failure) {
    counts = c;
    failure ? promise.set_exception(failure) : promise.set_value(std::move(rays));
  });
  return future.get();
}

} // namespace tessera::test
