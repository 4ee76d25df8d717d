#pragma once
// A GPU, as device.hpp wants it.

#include "gpu/bounds.hpp"
#include "gpu/cuda/device.hpp"
#include "gpu/cuda/device/buffer.hpp"
#include "gpu/cuda/device/memory_account.hpp"
#include "gpu/host/spin.hpp"

#include <cub/device/device_scan.cuh>
#include <cuda_runtime.h>

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace tessera::cuda {

/// Throws if a call failed, after clearing the error where it can be cleared: std::bad_alloc for want of memory, else
/// std::runtime_error that tells the call, its place and the reason, and whether the error stays.
inline void check_cuda(cudaError_t result, const char* call, const char* file, int line) {
  if (result == cudaSuccess)
    return;
  (void)cudaGetLastError();
  if (result == cudaErrorMemoryAllocation)
    throw std::bad_alloc{};
  // A sticky error is returned by every later call of the process, on whichever GPU, and so by this one, which does nothing.
  const bool stays = cudaFree(nullptr) == result;
  (void)cudaGetLastError();
  throw std::runtime_error(std::string(file) + ':' + std::to_string(line) + ": " + call + ": " + cudaGetErrorName(result) + " ("
                           + cudaGetErrorString(result) + ')'
                           + (stays ? "; the driver answers nothing more to this process, so that all its GPUs are lost" : ""));
}
#define TESSERA_CUDA(call) ::tessera::cuda::check_cuda((call), #call, __FILE__, __LINE__)

/// What every kernel begins with. A kernel's blocks may come to the device while the one before it in the stream still runs (a
/// dependent launch, from compute capability 9.0 on): they wait here until all of that one is done and visible. Then the next
/// one's may come.
__device__ inline void await_kernel_before() {
#if __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

/// A kernel for launches that are refused.
struct never_run {
  __device__ void operator()(uint64_t) const {}
};

/// Items from the thread's own on, by the size of the grid.
template <class Kernel>
__global__ void __launch_bounds__(256) run_items(uint64_t items, Kernel kernel) {
  await_kernel_before();
  const uint64_t stride = uint64_t{gridDim.x} * blockDim.x;
  for (uint64_t i = uint64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < items; i += stride)
    kernel(i);
}

/// Likewise, where only the device knows how many items there are.
template <class Kernel>
__global__ void __launch_bounds__(256) run_each(const uint32_t* count, uint64_t items_each, Kernel kernel) {
  await_kernel_before();
  const uint64_t stride = uint64_t{gridDim.x} * blockDim.x, items = *count * items_each;
  for (uint64_t i = uint64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < items; i += stride)
    kernel(i);
}

class cuda_device {
public:
  /// `most_bytes` can be allocated on the device; 0: what it has.
  explicit cuda_device(int number, bool poison, uint64_t most_bytes = 0) : number_(number), poison_(poison), memory_(most_bytes) {
    bind();
    cudaDeviceProp properties{};
    TESSERA_CUDA(cudaGetDeviceProperties(&properties, number));
    name_ = properties.name;
    blocks_at_once_ = static_cast<uint32_t>(properties.multiProcessorCount) * 8;
    dependent_launches_ = properties.major >= 9;
  }

  [[nodiscard]] std::string name() const { return name_; }
  void bind() { TESSERA_CUDA(cudaSetDevice(number_)); }
  /// In cuda_backend.cu.
  void break_down(breakage how);

  void* allocate(size_t bytes) {
    bind();
    allocations_.fetch_add(1, std::memory_order_relaxed);
    void* at = memory_.take(bytes, [&] {
      void* fresh = nullptr;
      try {
        TESSERA_CUDA(cudaMalloc(&fresh, bytes));
      } catch (const std::bad_alloc&) {
        throw no_room("the GPU's memory is full");
      }
      return fresh;
    });
    if (poison_) {
      TESSERA_CUDA(cudaMemset(at, 0xa5, bytes));
      TESSERA_CUDA(cudaStreamSynchronize(nullptr)); // our streams do not wait for the default one
    }
    return at;
  }
  void release(void* at) noexcept {
    memory_.gave_back(at);
    (void)cudaFree(at); // an error here was reported by an earlier call
  }
  void* allocate_host(size_t bytes) {
    void* at = nullptr;
    TESSERA_CUDA(cudaHostAlloc(&at, bytes, cudaHostAllocPortable));
    return at;
  }
  void release_host(void* at) noexcept { (void)cudaFreeHost(at); }

  /// Whether this one's kernels can read that one's memory. From now on copies from there go straight from GPU to GPU then; else
  /// the driver makes them by way of the host. The calling thread must be bound to this one.
  [[nodiscard]] bool reaches(const cuda_device& other) {
    if (other.number_ == number_)
      return true;
    const std::scoped_lock lock(meeting_);
    const auto [at, fresh] = reached_.try_emplace(other.number_, false);
    if (fresh) {
      int can = 0;
      if (cudaDeviceCanAccessPeer(&can, number_, other.number_) == cudaSuccess && can != 0) {
        const auto result = cudaDeviceEnablePeerAccess(other.number_, 0);
        at->second = result == cudaSuccess || result == cudaErrorPeerAccessAlreadyEnabled; // by another object of this GPU
      }
      (void)cudaGetLastError();
    }
    return at->second;
  }

  [[nodiscard]] uint64_t allocations() const { return allocations_.load(std::memory_order_relaxed); }

  /// An event. Waiting for it looks at it again and again for a moment, which most work does not outlast, and sleeps after that.
  /// To note the time costs five times as much as to note the place.
  class mark {
  public:
    explicit mark(cuda_device& device, bool timed = false) {
      device.bind();
      TESSERA_CUDA(cudaEventCreateWithFlags(&event_, cudaEventBlockingSync | (timed ? 0 : cudaEventDisableTiming)));
    }
    ~mark() { (void)cudaEventDestroy(event_); }
    mark(const mark&) = delete;
    mark& operator=(const mark&) = delete;

    [[nodiscard]] bool reached() {
      const auto result = cudaEventQuery(event_);
      if (result == cudaErrorNotReady)
        return false;
      TESSERA_CUDA(result);
      return true;
    }
    void wait() {
      const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(500);
      do {
        if (reached())
          return;
        spin_pause();
      } while (std::chrono::steady_clock::now() < until);
      TESSERA_CUDA(cudaEventSynchronize(event_));
    }
    [[nodiscard]] double ms_since(const mark& earlier) const {
      float ms = 0;
      TESSERA_CUDA(cudaEventElapsedTime(&ms, earlier.event_, event_));
      return ms;
    }

  private:
    friend class cuda_device;
    cudaEvent_t event_ = nullptr;
  };

  /// A graph, which a stream has captured.
  class recording {
  public:
    explicit recording(cuda_device&) {}
    ~recording() { clear(); }
    recording(const recording&) = delete;
    recording& operator=(const recording&) = delete;

  private:
    friend class cuda_device;
    void clear() noexcept {
      if (graph_ != nullptr)
        (void)cudaGraphExecDestroy(std::exchange(graph_, nullptr));
    }
    cudaGraphExec_t graph_ = nullptr;
    uint64_t kernels_ = 0;
  };

  class stream {
  public:
    explicit stream(cuda_device& device) : device_(device), scratch_(device, 1 << 16), done_(device) {
      device.bind();
      TESSERA_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    }
    ~stream() { (void)cudaStreamDestroy(stream_); }
    stream(const stream&) = delete;
    stream& operator=(const stream&) = delete;

    void upload(void* to, const void* from, size_t bytes) {
      if (bytes != 0)
        TESSERA_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_));
    }
    void download(void* to, const void* from, size_t bytes) {
      if (bytes != 0)
        TESSERA_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_));
    }
    [[nodiscard]] bool reaches(const cuda_device& owner) { return device_.reaches(owner); }
    void fetch(void* to, const cuda_device& owner, const void* from, size_t bytes) {
      if (bytes == 0)
        return;
      TESSERA_CUDA(cudaMemcpyPeerAsync(to, device_.number_, from, owner.number_, bytes, stream_));
    }
    void fill(void* to, size_t bytes, uint8_t value) {
      if (bytes != 0)
        TESSERA_CUDA(cudaMemsetAsync(to, value, bytes, stream_));
    }
    template <class Kernel>
    void launch(uint64_t items, Kernel kernel) {
      static_assert(std::is_trivially_copyable_v<Kernel>);
      if (items == 0)
        return;
      ++kernels_;
      launch_blocks(grid(items), run_items<Kernel>, items, kernel);
    }
    template <class Kernel>
    void launch_each(const uint32_t* count, uint64_t items_each, Kernel kernel) {
      static_assert(std::is_trivially_copyable_v<Kernel>);
      ++kernels_;
      launch_blocks(device_.blocks_at_once_, run_each<Kernel>, count, items_each, kernel);
    }
    void scan(const uint64_t* in, uint64_t* out, size_t count) {
      prepare_scan(count);
      ++kernels_;
      size_t bytes = scratch_.size();
      TESSERA_CUDA(cub::DeviceScan::ExclusiveSum(scratch_.data(), bytes, in, out, static_cast<uint32_t>(count), stream_));
    }
    void prepare_scan(size_t count) {
      if (count <= most_scanned_)
        return;
      size_t bytes = 0;
      const uint64_t* in = nullptr;
      uint64_t* out = nullptr;
      TESSERA_CUDA(cub::DeviceScan::ExclusiveSum(nullptr, bytes, in, out, static_cast<uint32_t>(count), stream_));
      if (bytes > scratch_.size())
        wait(); // an earlier scan may still use it
      scratch_.ensure(bytes);
      most_scanned_ = count;
    }
    template <class Work>
    void record(recording& to, Work work) {
      to.clear();
      const auto kernels = kernels_;
      cudaGraph_t graph = nullptr;
      TESSERA_CUDA(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal)); // other threads go on as they like
      recording_ = true;
      try {
        work();
      } catch (...) {
        recording_ = false;
        kernels_ = kernels;
        (void)cudaStreamEndCapture(stream_, &graph);
        (void)cudaGetLastError();
        if (graph != nullptr)
          (void)cudaGraphDestroy(graph);
        throw;
      }
      recording_ = false;
      to.kernels_ = std::exchange(kernels_, kernels) - kernels;
      TESSERA_CUDA(cudaStreamEndCapture(stream_, &graph));
      const auto result = cudaGraphInstantiate(&to.graph_, graph, 0);
      (void)cudaGraphDestroy(graph);
      TESSERA_CUDA(result);
    }
    void play(recording& what) {
      if (device_.refuses_launches_)
        launch_blocks(1, run_items<never_run>, uint64_t{0}, never_run{});
      TESSERA_CUDA(cudaGraphLaunch(what.graph_, stream_));
      kernels_ += what.kernels_;
    }
    void wait() {
      set(done_);
      done_.wait();
    }
    void set(mark& at) {
      TESSERA_CUDA(cudaEventRecordWithFlags(at.event_, stream_, recording_ ? cudaEventRecordExternal : cudaEventRecordDefault));
    }
    void after(mark& at) { TESSERA_CUDA(cudaStreamWaitEvent(stream_, at.event_, 0)); }
    [[nodiscard]] uint64_t kernels() const { return kernels_; }

  private:
    template <class... Parameters, class... Arguments>
    void launch_blocks(uint32_t blocks, void (*kernel)(Parameters...), const Arguments&... arguments) {
      cudaLaunchAttribute dependent{};
      dependent.id = cudaLaunchAttributeProgrammaticStreamSerialization;
      dependent.val.programmaticStreamSerializationAllowed = 1;
      cudaLaunchConfig_t how{};
      how.gridDim = dim3(blocks);
      how.blockDim = dim3(device_.refuses_launches_ ? 4096 : 256); // more than any GPU takes
      how.stream = stream_;
      how.attrs = &dependent;
      how.numAttrs = device_.dependent_launches_ ? 1 : 0;
      TESSERA_CUDA(cudaLaunchKernelEx(&how, kernel, arguments...));
    }
    [[nodiscard]] uint32_t grid(uint64_t items) const {
      const uint64_t blocks = (items + 255) / 256;
      return blocks < device_.blocks_at_once_ ? static_cast<uint32_t>(blocks) : device_.blocks_at_once_;
    }
    cuda_device& device_;
    device_buffer<cuda_device, uint8_t> scratch_;
    size_t most_scanned_ = 0;
    mark done_;
    cudaStream_t stream_ = nullptr;
    bool recording_ = false;
    uint64_t kernels_ = 0;
  };

private:
  int number_;
  bool poison_;
  std::string name_;
  uint32_t blocks_at_once_ = 0; ///< of a grid: enough to fill the device
  bool dependent_launches_ = false;
  std::atomic<bool> refuses_launches_ = false; ///< a drill
  std::atomic<uint64_t> allocations_{0};
  memory_account memory_;
  std::mutex meeting_;
  std::map<int, bool> reached_; ///< others, by number
};

} // namespace tessera::cuda
