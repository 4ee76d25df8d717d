// What it takes to bring a keyframe to a GPU: from a fresh segment of shared memory, written as producers write it and mapped as
// the service maps it, by every way there is. For each segment and way: how long the host is busy, and when the points are on the
// device. The ways take turns, so that all see the same machine; what has arrived is summed up on the device and compared.

#include "upload_device.cuh"
#include "upload_helpers.hpp"
#include "upload_segments.hpp"
#include "upload_table.hpp"
#include "upload_way.hpp"

#include <CLI/CLI.hpp>
#include <cuda_runtime.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace tessera::bench;

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
  print_table(report);
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
