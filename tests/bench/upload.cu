// What it takes to bring a keyframe to a GPU: from a fresh segment of shared memory, written as producers write it and mapped as
// the service maps it, by every way there is. For each segment and way: how long the host is busy, and when the points are on the
// device. The ways take turns, so that all see the same machine; what has arrived is summed up on the device and compared.

#include "net/producer.hpp"

#include <CLI/CLI.hpp>
#include <cuda_runtime.h>
#include <nlohmann/json.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <future>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using clock = std::chrono::steady_clock;

double us_since(clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(clock::now() - begin).count();
}

void check(cudaError_t result, const char* call) {
  if (result == cudaSuccess)
    return;
  (void)cudaGetLastError(); // a sticky error stays, and comes back with the next call
  throw std::runtime_error(std::string(call) + ": " + cudaGetErrorName(result) + " (" + cudaGetErrorString(result) + ')');
}
#define CHECKED(call) check((call), #call)

/// Adds up all whole words; each thread reads 16 bytes at a time. `words` is aligned to 16 bytes.
__global__ void __launch_bounds__(256) add_up(const uint32_t* words, uint64_t count, unsigned long long* sum) {
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

/// A keyframe of random points; each one written differs in its first word.
class producer {
public:
  explicit producer(size_t points) : points_(3 * points), colours_(3 * points) {
    uint32_t random = 1;
    const auto next = [&] { return random = random * 1664525u + 1013904223u; };
    for (float& v : points_)
      v = static_cast<float>(next() >> 8) * 1e-6f;
    for (uint8_t& v : colours_)
      v = static_cast<uint8_t>(next() >> 24);
    points_[0] = 0;
    std::vector<uint32_t> words(bytes() / 4);
    const size_t first = 12 * points;
    std::memcpy(words.data(), points_.data(), first);
    std::memcpy(words.data() + first / 4, colours_.data(), 4 * words.size() - first);
    for (const uint32_t word : words)
      sum_ += word;
    frame_.points = points_.data();
    frame_.colours = colours_.data();
    frame_.count = points;
    frame_.bbox = tessera::producer::bounds(points_.data(), points);
  }
  /// Points and colours, which lie one after the other at a segment's end.
  [[nodiscard]] size_t bytes() const { return 5 * points_.size(); }

  /// Writes a segment from another thread, as it comes from another process. Returns its name and the sum of its words.
  std::pair<std::string, uint64_t> write() {
    const auto number = static_cast<uint32_t>(++number_);
    std::memcpy(points_.data(), &number, sizeof number); // a tiny float
    frame_.id = std::to_string(number);
    return {std::async(std::launch::async, [&] { return writer_.write(frame_); }).get(), sum_ + number};
  }

private:
  static tessera::producer::segment_options options() {
    tessera::producer::segment_options o;
    o.prefix = "/tessera_bench_" + std::to_string(::getpid()) + "_";
    return o;
  }
  std::vector<float> points_;
  std::vector<uint8_t> colours_;
  tessera::producer::keyframe frame_;
  tessera::producer::segment_writer writer_{options()};
  uint64_t sum_ = 0;
  int number_ = 0;
};

/// A segment, mapped as net/sources/shm_segment.cpp does, and unlinked at once.
class segment {
public:
  segment(const std::string& name, bool populate, bool writable) {
    const auto begin = clock::now();
    const int file = ::shm_open(name.c_str(), (writable ? O_RDWR : O_RDONLY) | O_NONBLOCK, 0);
    struct stat state {};
    if (file >= 0 && ::fstat(file, &state) == 0) {
      bytes_ = static_cast<size_t>(state.st_size);
      at_ = ::mmap(nullptr, bytes_, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED | (populate ? MAP_POPULATE : 0),
                   file, 0);
    }
    const int error = errno;
    mapped_us = us_since(begin);
    if (file >= 0)
      ::close(file);
    ::shm_unlink(name.c_str());
    if (at_ == MAP_FAILED)
      throw std::system_error(error, std::generic_category(), "cannot map the segment " + name);
  }
  ~segment() { ::munmap(at_, bytes_); }
  segment(const segment&) = delete;
  segment& operator=(const segment&) = delete;

  [[nodiscard]] void* data() const { return at_; }
  [[nodiscard]] size_t bytes() const { return bytes_; }
  double mapped_us = 0;

private:
  void* at_ = MAP_FAILED;
  size_t bytes_ = 0;
};

/// Threads that wait for work, as a service would have them.
class helpers {
public:
  /// Together with the caller's.
  explicit helpers(unsigned threads) {
    for (unsigned i = 1; i < threads; ++i)
      threads_.emplace_back([this, i] { serve(i); });
  }
  ~helpers() {
    work_ = nullptr;
    begin();
    for (auto& thread : threads_)
      thread.join();
  }
  helpers(const helpers&) = delete;
  helpers& operator=(const helpers&) = delete;

  [[nodiscard]] size_t threads() const { return threads_.size() + 1; }
  /// Calls work(0) here, and work(1), ... elsewhere, at the same time. Returns when all have. Throws what the last one threw.
  void run(std::function<void(size_t)> work) {
    work_ = std::move(work);
    left_ = static_cast<int>(threads_.size());
    begin();
    do_part(0);
    while (left_ != 0) {
    }
    const std::scoped_lock lock(mutex_);
    if (const auto failure = std::exchange(failure_, nullptr))
      std::rethrow_exception(failure);
  }

private:
  void begin() {
    ++round_;
    round_.notify_all();
  }
  void do_part(size_t number) {
    try {
      work_(number);
    } catch (...) {
      const std::scoped_lock lock(mutex_);
      failure_ = std::current_exception();
    }
  }
  void serve(size_t number) {
    for (int seen = 0;;) {
      round_.wait(seen);
      ++seen; // nobody begins a round before all have done the last one
      if (!work_)
        return;
      do_part(number);
      --left_;
    }
  }
  std::function<void(size_t)> work_;
  std::atomic<int> round_{0}, left_{0};
  std::mutex mutex_;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

struct timing {
  double host_us = 0;  ///< the host's thread was busy with it; without waiting, unless it must
  double ready_us = 0; ///< until all is on the device
  std::vector<double> steps_us;
};

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

/// One way to the device, and what it took so far.
struct way {
  std::string name;
  std::function<timing(const segment&, const uint8_t* from)> go;
  std::vector<std::string> steps{};
  bool by_kernel = false; ///< which sums up on its way and leaves no copy
  bool writable = false;  ///< the mapping
  bool may_fail = false;  ///< not every system can do it
  std::string failed{};   ///< why, if it did
  std::vector<timing> took{};
};

/// Part `i` of `count`: where it begins. Parts begin at whole cache lines.
size_t part_begin(size_t bytes, size_t i, size_t count) {
  return i == count ? bytes : bytes * i / count / 64 * 64;
}

std::vector<way> ways_to(device& gpu, size_t bytes, helpers& two, helpers& four) {
  std::vector<way> out;
  const auto finish = [&gpu](clock::time_point begin) {
    timing t;
    t.host_us = us_since(begin);
    gpu.wait();
    t.ready_us = us_since(begin);
    return t;
  };
  out.push_back({"pinned already: one copy", [=, &gpu](const segment&, const uint8_t* from) {
                   std::memcpy(gpu.pinned, from, bytes);
                   const auto begin = clock::now();
                   gpu.copy(gpu.pinned, 0, bytes);
                   return finish(begin);
                 }});
  const auto staged = [&](const std::string& name, uint8_t* stage, size_t parts) {
    out.push_back({name, [=, &gpu](const segment&, const uint8_t* from) {
                     const auto begin = clock::now();
                     for (size_t i = 0; i < parts; ++i) {
                       const size_t at = part_begin(bytes, i, parts), count = part_begin(bytes, i + 1, parts) - at;
                       std::memcpy(stage + at, from + at, count);
                       gpu.copy(stage + at, at, count);
                     }
                     return finish(begin);
                   }});
  };
  staged("memcpy to pinned, copy", gpu.pinned, 1);
  for (const size_t parts : {2, 4, 8, 16})
    staged("memcpy to pinned, copy, in " + std::to_string(parts) + " parts", gpu.pinned, parts);
  staged("memcpy to write-combined, copy", gpu.combined, 1);
  staged("write-combined in 4 parts", gpu.combined, 4);
  for (helpers* pool : {&two, &four})
    for (const size_t parts : {1, 4}) {
      const size_t threads = pool->threads();
      out.push_back({"memcpy by " + std::to_string(threads) + " threads, parts each: " + std::to_string(parts),
                     [=, &gpu](const segment&, const uint8_t* from) {
                       const auto begin = clock::now();
                       pool->run([&](size_t thread) {
                         for (size_t i = 0; i < parts; ++i) {
                           const size_t part = i * threads + thread, at = part_begin(bytes, part, parts * threads);
                           const size_t count = part_begin(bytes, part + 1, parts * threads) - at;
                           std::memcpy(gpu.pinned + at, from + at, count);
                           gpu.copy(gpu.pinned + at, at, count);
                         }
                       });
                       return finish(begin);
                     }});
    }
  out.push_back({"copy from pageable memory", [=, &gpu](const segment&, const uint8_t* from) {
                   const auto begin = clock::now();
                   gpu.copy(from, 0, bytes);
                   return finish(begin);
                 }});
  const auto registered = [&](const std::string& name, bool writable) {
    out.push_back({name,
                   [=, &gpu](const segment& in, const uint8_t* from) {
                     timing t;
                     const auto begin = clock::now();
                     const unsigned flags = cudaHostRegisterPortable | (writable ? 0u : unsigned{cudaHostRegisterReadOnly});
                     CHECKED(cudaHostRegister(in.data(), in.bytes(), flags));
                     const double registered_us = us_since(begin);
                     try {
                       gpu.copy(from, 0, bytes);
                       const double issued_us = us_since(begin);
                       gpu.wait();
                       t.ready_us = us_since(begin);
                       t.host_us = issued_us;
                     } catch (...) {
                       (void)cudaHostUnregister(in.data());
                       throw;
                     }
                     const auto end = clock::now();
                     CHECKED(cudaHostUnregister(in.data()));
                     const double unregistered_us = us_since(end);
                     t.host_us += unregistered_us;
                     t.steps_us = {registered_us, t.ready_us - registered_us, unregistered_us};
                     return t;
                   },
                   {"register", "copy", "unregister"},
                   false,
                   writable,
                   true});
  };
  registered("registered for reading, copy", false);
  registered("mapped for writing, registered, copy", true);
  out.push_back({"memcpy to pinned, a kernel reads it",
                 [=, &gpu](const segment&, const uint8_t* from) {
                   const auto begin = clock::now();
                   std::memcpy(gpu.pinned, from, bytes);
                   gpu.read_by_kernel(gpu.pinned);
                   return finish(begin);
                 },
                 {},
                 true});
  out.push_back({"pinned already: a kernel reads it",
                 [=, &gpu](const segment&, const uint8_t* from) {
                   std::memcpy(gpu.pinned, from, bytes);
                   const auto begin = clock::now();
                   gpu.read_by_kernel(gpu.pinned);
                   return finish(begin);
                 },
                 {},
                 true});
  return out;
}

/// Median and 99th percentile.
nlohmann::json spread(std::vector<double> all) {
  std::sort(all.begin(), all.end());
  const auto at = [&](double share) { return all[static_cast<size_t>(share * static_cast<double>(all.size() - 1) + .5)]; };
  return {{"median_us", at(.5)}, {"p99_us", at(.99)}};
}

nlohmann::json told(const way& w, size_t bytes) {
  nlohmann::json out{{"name", w.name}};
  if (!w.failed.empty() || w.took.empty()) {
    out["failed"] = w.failed.empty() ? "it was not measured" : w.failed;
    return out;
  }
  const auto of = [&](const auto& value) {
    std::vector<double> all;
    for (const timing& t : w.took)
      all.push_back(value(t));
    return spread(std::move(all));
  };
  out["host"] = of([](const timing& t) { return t.host_us; });
  out["ready"] = of([](const timing& t) { return t.ready_us; });
  out["gb_per_s"] = static_cast<double>(bytes) / out["ready"]["median_us"].get<double>() * 1e-3;
  for (size_t i = 0; i < w.steps.size(); ++i)
    out["steps"][w.steps[i]] = of([i](const timing& t) { return t.steps_us[i]; });
  return out;
}

struct settings {
  size_t points = 273'000;
  int segments = 300, gpu = 0;
  bool populate = true, json = false;
};

/// Returns whether all arrived as it was sent, by every way that must work.
bool measure(const settings& s) {
  producer from(s.points);
  device gpu(s.gpu, from.bytes());
  helpers two(2), four(4);
  auto ways = ways_to(gpu, from.bytes(), two, four);
  std::vector<double> mapping_us;
  constexpr int first_ones = 5; // in which memory is touched for the first time
  bool right = true;
  for (int round = -first_ones; round < s.segments; ++round)
    for (way& w : ways) {
      if (!w.failed.empty())
        continue;
      if (w.steps.size() == 3 && !w.writable && !gpu.registers_read_only) {
        w.failed = "the device does not support it (cudaDevAttrHostRegisterReadOnlySupported is 0)";
        continue;
      }
      const auto [name, sum] = from.write();
      const segment in(name, s.populate, w.writable);
      gpu.forget();
      try {
        const timing t = w.go(in, static_cast<const uint8_t*>(in.data()) + (in.bytes() - from.bytes()));
        if ((w.by_kernel ? gpu.last_sum() : gpu.sum_of_what_arrived()) != sum)
          throw std::runtime_error("what arrived is not what was sent");
        if (round >= 0) {
          w.took.push_back(t);
          if (!w.writable)
            mapping_us.push_back(in.mapped_us);
        }
      } catch (const std::exception& e) {
        w.failed = e.what();
        right = right && w.may_fail;
      }
    }
  nlohmann::json report{{"device", gpu.name},     {"points", s.points},      {"bytes", from.bytes()},
                        {"segments", s.segments}, {"populated", s.populate}, {"registers_read_only", gpu.registers_read_only}};
  if (!mapping_us.empty())
    report["mapping"] = spread(mapping_us);
  for (const way& w : ways)
    report["ways"].push_back(told(w, from.bytes()));
  if (s.json) {
    std::printf("%s\n", report.dump().c_str());
    return right;
  }
  std::printf("%s; %d segments of %zu points, %.2f MB; us, median (99 %%)\n", gpu.name.c_str(), s.segments, s.points,
              static_cast<double>(from.bytes()) * 1e-6);
  const auto pair = [](const nlohmann::json& of) {
    char text[64];
    std::snprintf(text, sizeof text, "%8.1f (%8.1f)", of["median_us"].get<double>(), of["p99_us"].get<double>());
    return std::string(text);
  };
  if (!mapping_us.empty())
    std::printf("%-42s %s\n", s.populate ? "mapping, populated" : "mapping, not populated", pair(report["mapping"]).c_str());
  std::printf("%-42s %-19s %-19s %s\n", "", "host busy", "on the device", "GB/s");
  for (const auto& w : report["ways"]) {
    if (w.contains("failed")) {
      std::printf("%-42s %s\n", w["name"].get<std::string>().c_str(), w["failed"].get<std::string>().c_str());
      continue;
    }
    std::printf("%-42s %s %s %5.1f", w["name"].get<std::string>().c_str(), pair(w["host"]).c_str(), pair(w["ready"]).c_str(),
                w["gb_per_s"].get<double>());
    if (w.contains("steps"))
      for (const auto& [step, took] : w["steps"].items())
        std::printf("  %s %s", step.c_str(), pair(took).c_str());
    std::printf("\n");
  }
  return right;
}

} // namespace

int main(int argc, char** argv) try {
  settings s;
  CLI::App app{
    "How a keyframe is best brought to a GPU: from a fresh segment of shared memory by every way there is, how long the host is\n"
    "busy and when all is on the device. Ends with 1 if something failed or other bytes arrived, with 2 where no GPU is."};
  app.add_option("--points", s.points, "Points of a keyframe, 15 bytes each")
    ->check(CLI::Range(64, 4'000'000))
    ->capture_default_str();
  app.add_option("--segments", s.segments, "Segments for each way")->check(CLI::Range(1, 100'000))->capture_default_str();
  app.add_option("--gpu", s.gpu, "Number of the GPU")->check(CLI::Range(0, 1023))->capture_default_str();
  app.add_flag("!--no-populate", s.populate, "Map segments without their pages, which are then fetched one by one");
  app.add_flag("--json", s.json, "Print one line of JSON");
  CLI11_PARSE(app, argc, argv);
  int gpus = 0;
  if (const auto result = cudaGetDeviceCount(&gpus); result != cudaSuccess || s.gpu >= gpus) {
    std::fprintf(stderr, "bench_upload: there is no GPU %d: %s\n", s.gpu,
                 result != cudaSuccess ? cudaGetErrorString(result) : ("CUDA sees " + std::to_string(gpus)).c_str());
    return 2;
  }
  return measure(s) ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "bench_upload: %s\n", e.what());
  return 1;
}
