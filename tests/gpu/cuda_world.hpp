#pragma once
// A map over a device and the same map over the CPU.

#include "cuda_devices.hpp"
#include "random_map.hpp"

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

struct two_worlds {
  world cpu, device;
  std::shared_ptr<cuda::keyframe_device> fields;
  bool at_once = in_batches(); ///< how large a batch is depends on the threads' race then
  two_worlds(const device_under_test& on, const mapping& map, const cuda::field_options& options)
    : cpu(map), device(map), fields(on.open(map, options)) {
    device.field = cuda::make_waiting_backend(fields);
  }
  void add(const scan& s, int sign = 1) {
    cpu.add(s, sign);
    at_once ? add_at_once(s, sign) : device.add(s, sign);
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

private:
  void add_at_once(const scan& s, int sign) {
    uint64_t beyond = 0;
    const auto cut = partition_rays(device.map, s.rays, s.at, beyond);
    answers<int> done;
    for (const auto& part : cut.parts) {
      device.regions.insert(part.region);
      fields->integrate(part.region, {{cut.batch, part.first, part.count, s.at, sign, 0, 0}},
                        [answer = done.next()](const std::exception_ptr& failure) { answer(0, failure); });
    }
    done.get();
  }
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
};

} // namespace tessera::test
