#pragma once
// The GPU that keyframes are brought to.

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace tessera::bench {

inline void check(cudaError_t result, const char* call) {
  if (result == cudaSuccess)
    return;
  (void)cudaGetLastError(); // a sticky error stays, and comes back with the next call
  throw std::runtime_error(std::string(call) + ": " + cudaGetErrorName(result) + " (" + cudaGetErrorString(result) + ')');
}
#define CHECKED(call) check((call), #call)

/// Adds up all whole words; each thread reads 16 bytes at a time. `words` is aligned to 16 bytes.
static __global__ void __launch_bounds__(256) add_up(const uint32_t* words, uint64_t count, unsigned long long* sum) {
  const uint64_t stride = uint64_t{gridDim.x} * blockDim.x, first = uint64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  unsigned long long own = 0;
  for (uint64_t i = first; i < count / 4; i += stride) {
    const uint4 four = reinterpret_cast<const uint4*>(words)[i];
    own += uint64_t{four.x} + four.y + four.z + four.w;
  }
  for (uint64_t i = count / 4 * 4 + first; i < count; i += stride)
    own += words[i];
  for (int apart = 16; apart > 0; apart /= 2)
    own += __shfl_down_sync(0xffffffffu, own, apart);
  if (threadIdx.x % 32 == 0)
    atomicAdd(sum, own);
}

/// Where keyframes go, and where they may stop over.
class device {
public:
  device(int number, size_t bytes) : bytes_(bytes) {
    CHECKED(cudaSetDevice(number));
    cudaDeviceProp properties{};
    CHECKED(cudaGetDeviceProperties(&properties, number));
    name = properties.name;
    blocks_ = properties.multiProcessorCount * 8;
    int supported = 0;
    CHECKED(cudaDeviceGetAttribute(&supported, cudaDevAttrHostRegisterReadOnlySupported, number));
    registers_read_only = supported != 0;
    CHECKED(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    CHECKED(cudaMalloc(&there_, bytes));
    CHECKED(cudaMalloc(&sum_, sizeof *sum_));
    CHECKED(cudaHostAlloc(&pinned, bytes, cudaHostAllocPortable));
    CHECKED(cudaHostAlloc(&combined, bytes, cudaHostAllocPortable | cudaHostAllocWriteCombined));
  }

  std::string name;
  bool registers_read_only = false;
  uint8_t *pinned = nullptr, *combined = nullptr; ///< the second one write-combined: not cached, slow to read for the host

  void copy(const void* from, size_t at, size_t count) {
    CHECKED(cudaMemcpyAsync(there_ + at, from, count, cudaMemcpyHostToDevice, stream_));
  }
  /// `from` is aligned to 16 bytes.
  void read_by_kernel(const void* from) {
    CHECKED(cudaMemsetAsync(sum_, 0, sizeof *sum_, stream_));
    add_up<<<blocks_, 256, 0, stream_>>>(static_cast<const uint32_t*>(from), bytes_ / 4, sum_);
    CHECKED(cudaGetLastError());
  }
  void wait() {
    auto result = cudaStreamQuery(stream_);
    while (result == cudaErrorNotReady)
      result = cudaStreamQuery(stream_);
    CHECKED(result);
  }
  void forget() { CHECKED(cudaMemset(there_, 0, bytes_)); }
  [[nodiscard]] uint64_t sum_of_what_arrived() {
    read_by_kernel(there_);
    return last_sum();
  }
  [[nodiscard]] uint64_t last_sum() {
    unsigned long long sum = 0;
    wait();
    CHECKED(cudaMemcpy(&sum, sum_, sizeof sum, cudaMemcpyDeviceToHost));
    return sum;
  }

private:
  size_t bytes_;
  int blocks_ = 0;
  cudaStream_t stream_ = nullptr;
  uint8_t* there_ = nullptr;
  unsigned long long* sum_ = nullptr;
};

} // namespace tessera::bench
