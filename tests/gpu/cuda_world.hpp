#pragma once
// A map over a device and the same map over the CPU.

#include "cuda_devices.hpp"
#include "random_map.hpp"

namespace tessera::test {

struct two_worlds {
  world cpu, device;
  std::shared_ptr<cuda::keyframe_device> fields;
  two_worlds(const device_under_test& on, const mapping& map, const cuda::field_options& options)
    : cpu(map), device(map), fields(on.open(map, options)) {
    device.field = cuda::make_waiting_backend(fields);
  }
  void add(const scan& s, int sign = 1) {
    cpu.add(s, sign);
    device.add(s, sign);
  }
  void check_fields() {
    const auto a = cpu.stats(), b = device.stats();
    CHECK(b.hash.hi == a.hash.hi);
    CHECK(b.hash.lo == a.hash.lo);
    CHECK(b.blocks == a.blocks);
    CHECK(b.voxels == a.voxels);
  }
  void check_meshes() {
    const auto a = cpu.meshes(), b = device.meshes();
    REQUIRE(a.size() == b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      INFO("region " << a[i].region.x << ' ' << a[i].region.y << ' ' << a[i].region.z);
      CHECK(b[i].surface->vertices() == a[i].surface->vertices());
      CHECK(b[i].surface->triangles() == a[i].surface->triangles());
      CHECK(*b[i].surface == *a[i].surface);
    }
  }
};

} // namespace tessera::test
