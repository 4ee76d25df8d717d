#pragma once
// A map over a device and the same map over the CPU.

#include "cuda_devices.hpp"
#include "random_map.hpp"

#include "gpu/rays.hpp"

#include <algorithm>
#include <tuple>

namespace tessera::test {

/// TESSERA_TEST_BATCHES: all regions of a step are asked for at once, not one after another. That is far fewer launches, for
/// tools that make every launch slow; the kernels are the same. Where that does not help, tests have fewer keyframes or regions.
inline bool in_batches() {
  static const bool is = std::getenv("TESSERA_TEST_BATCHES") != nullptr;
  return is;
}

/// Answers to requests that were made without waiting.
template <class Answer>
class answers {
public:
  /// What to give the next request.
  auto next() {
    auto promise = std::make_shared<std::promise<Answer>>();
    futures_.push_back(promise->get_future());
    return [promise](Answer answer, const std::exception_ptr& failure) {
      failure ? promise->set_exception(failure) : promise->set_value(std::move(answer));
    };
  }
  /// Waits for all, in the order of the requests. Throws the first failure.
  std::vector<Answer> get() {
    std::vector<Answer> out;
    for (auto& future : futures_)
      out.push_back(future.get());
    return out;
  }

private:
  std::vector<std::future<Answer>> futures_;
};

/// The regions that a scan touches, sorted.
inline std::vector<region_key> regions_of(const map_settings& map, const scan& s) {
  uint64_t beyond = 0;
  std::vector<region_key> out;
  for (const auto& part : partition_rays(map, s.rays, s.at, beyond).parts)
    out.push_back(part.region);
  return out;
}

/// Blocks that regions hold.
template <class Regions>
uint64_t blocks_of(async_fields& fields, const Regions& regions) {
  uint64_t blocks = 0;
  for (const region_key region : regions)
    blocks += stats_and_wait(fields, region).bytes / 12'288;
  return blocks;
}

/// A pool in which the largest of these regions has room, and little beside it; what has none goes to host memory.
template <class Regions>
cuda::field_options little_room(async_fields& fields, const Regions& regions) {
  uint64_t most = 0;
  for (const auto& r : regions)
    most = std::max(most, blocks_of(fields, std::vector{r}));
  return small_pool(most + 4, 1 << 30);
}

inline std::vector<ray> in_order(std::vector<ray> rays) {
  const auto key = [](const ray& r) { return std::tuple(r.x, r.y, r.z, r.r, r.g, r.b, r.points); };
  std::sort(rays.begin(), rays.end(), [&](const ray& a, const ray& b) { return key(a) < key(b); });
  return rays;
}

inline void clear_and_wait(async_fields& fields) {
  std::promise<void> promise;
  fields.clear([&](const std::exception_ptr& failure) { failure ? promise.set_exception(failure) : promise.set_value(); });
  promise.get_future().get();
}

/// Keeps a device from its next requests until it is told to go on, so that they wait together.
class held_device {
public:
  explicit held_device(async_fields& fields) {
    fields.drop({77, 77, 77}, [this](const std::exception_ptr&) {
      begun_.set_value();
      go_on_.get_future().wait();
    });
    begun_.get_future().wait();
  }
  void go_on() { go_on_.set_value(); }

private:
  std::promise<void> begun_, go_on_;
};

struct two_worlds {
  world cpu, device;
  std::shared_ptr<async_fields> fields;
  bool at_once = in_batches(); ///< how large a batch is depends on the threads' race then
  two_worlds(const device_under_test& on, const map_settings& map, const cuda::field_options& options)
    : cpu(map), device(map, on.open(map, options)), fields(device.field) {}
  /// From rays, as a whole.
  void add(const scan& s, int sign = 1) {
    cpu.add(s, sign);
    device.add(s, sign);
  }
  /// From rays, one region after another, as if each came on its own. Returns how many were refused for want of memory.
  size_t add_apart(const scan& s, int sign = 1) {
    size_t refused = 0;
    for (const region_key region : regions_of(cpu.map, s)) {
      auto request = request_of(s, sign);
      request.only = {region};
      take_report report;
      try {
        report = take_and_wait(*fields, request);
      } catch (const std::bad_alloc&) {
        ++refused;
        continue;
      }
      CHECK(report.regions == std::vector{region});
      take_and_wait(*cpu.field, request);
      cpu.regions.insert(region);
      device.regions.insert(region);
    }
    return refused;
  }
  [[nodiscard]] field_stats device_stats() const { return at_once ? stats_at_once() : device.stats(); }
  void check_fields() {
    const auto a = cpu.stats(), b = device_stats();
    CHECK(b.hash.hi == a.hash.hi);
    CHECK(b.hash.lo == a.hash.lo);
    CHECK(b.blocks == a.blocks);
    CHECK(b.voxels == a.voxels);
  }
  void check_meshes() {
    const auto a = cpu.meshes(), b = at_once ? meshes_at_once() : device.meshes();
    REQUIRE(a.size() == b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      INFO("region " << a[i].region.x << ' ' << a[i].region.y << ' ' << a[i].region.z);
      CHECK(b[i].surface->vertices() == a[i].surface->vertices());
      CHECK(b[i].surface->triangles() == a[i].surface->triangles());
      CHECK(*b[i].surface == *a[i].surface);
    }
  }
  [[nodiscard]] std::vector<region_mesh> meshes_at_once() const {
    answers<std::shared_ptr<const mesh>> of;
    for (const auto& region : device.regions)
      fields->extract(region, of.next());
    const auto surfaces = of.get();
    std::vector<region_mesh> out;
    for (const auto& region : device.regions)
      out.push_back({region, 0, surfaces[out.size()]});
    return out;
  }

private:
  [[nodiscard]] field_stats stats_at_once() const {
    answers<field_stats> of;
    for (const auto& region : device.regions)
      fields->stats(region, of.next());
    field_stats sum;
    for (const auto& s : of.get()) {
      sum.hash += s.hash;
      sum.blocks += s.blocks;
      sum.voxels += s.voxels;
    }
    return sum;
  }
};

} // namespace tessera::test
