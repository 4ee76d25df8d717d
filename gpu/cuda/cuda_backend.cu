#include "gpu/cuda/cuda_backend.hpp"

#include "gpu/cuda/device/cuda_device.cuh"
#include "gpu/cuda/field_queue.hpp"
#include "gpu/cuda/why_no_gpu.hpp"

namespace tessera::cuda {

namespace {

/// Goes wrong, as a kernel does that follows a bad pointer.
__global__ void trap() {
  __trap();
}

} // namespace

/// After a trap every later call of this process returns its error, in whatever thread and on whichever GPU, until it ends;
/// another process can use the GPUs at once. A launch that cannot be leaves no trace.
void cuda_device::break_down(breakage how) {
  bind();
  TESSERA_CUDA(cudaFree(nullptr)); // it may be broken already
  if (refuses_launches_)
    throw std::runtime_error("its launches are refused already");
  if (how == breakage::refused_launch) {
    refuses_launches_ = true;
    return;
  }
  trap<<<1, 1>>>(); // on the default stream, for which ours do not wait
  TESSERA_CUDA(cudaGetLastError());
}

std::vector<std::string> list_devices(std::string* why) {
  int count = 0;
  if (const auto result = cudaGetDeviceCount(&count); result != cudaSuccess) {
    (void)cudaGetLastError();
    gpu_failure failure{.too_old = result == cudaErrorInsufficientDriver, .error = cudaGetErrorString(result)};
    (void)cudaDriverGetVersion(&failure.driver); // 0 where there is none
    (void)cudaRuntimeGetVersion(&failure.runtime);
    if (why != nullptr)
      *why = why_no_gpu(failure);
    return {};
  }
  if (count == 0 && why != nullptr)
    *why = "the driver finds none";
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties{};
    TESSERA_CUDA(cudaGetDeviceProperties(&properties, i));
    names.emplace_back(properties.name);
  }
  return names;
}

namespace {

/// An error is none of whoever asks: what cannot be locked is copied.
class driver_locks final : public page_locks {
public:
  [[nodiscard]] bool lock(std::span<std::byte> memory) noexcept override {
    return succeeded(cudaHostRegister(memory.data(), memory.size(), cudaHostRegisterPortable));
  }
  void unlock(std::span<std::byte> memory) noexcept override { (void)succeeded(cudaHostUnregister(memory.data())); }

private:
  static bool succeeded(cudaError_t result) noexcept {
    if (result != cudaSuccess)
      (void)cudaGetLastError(); // else the next one who asks for it would be told
    return result == cudaSuccess;
  }
};

} // namespace

std::shared_ptr<page_locks> make_page_locks() {
  return std::make_shared<driver_locks>();
}

std::unique_ptr<async_fields> open_device(int number, const map_settings& map, const field_options& options) {
  const auto names = list_devices();
  if (number < 0 || static_cast<size_t>(number) >= names.size())
    throw std::invalid_argument("there is no GPU " + std::to_string(number) + ": this machine has "
                                + std::to_string(names.size()));
  return std::make_unique<field_queue<cuda_device>>(std::make_unique<cuda_device>(number, options.poison, options.device_bytes),
                                                    map, options);
}

} // namespace tessera::cuda
