#include "net/commands/drill.hpp"

#include "gpu/cuda/field_queue.hpp"
#include "tests/gpu/cuda_emulated.hpp"

#include <catch2/catch.hpp>

#include <future>
#include <stdexcept>

using namespace tessera;

namespace {

using names = std::vector<std::string>;

std::shared_ptr<async_fields> emulated_gpu() {
  cuda::field_options options;
  options.pool_bytes = 64 * 12'288;
  options.most_regions = 8;
  options.ray_lanes = 1;
  return std::make_shared<cuda::field_queue<test::emulated_device>>(
    std::make_unique<test::emulated_device>(test::emulated_device::options{}), map_settings{}, options);
}

bool works(async_fields& gpu) {
  std::promise<bool> answer;
  auto body = std::make_shared<owned_keyframe_body>();
  body->point_data = {0, 0, 1};
  body->colour_data = {1, 2, 3};
  gpu.rays(body, {}, [&](const std::vector<ray>&, const ray_counts&, const std::exception_ptr& failure) {
    answer.set_value(failure == nullptr);
  });
  return answer.get_future().get();
}

} // namespace

TEST_CASE("a drill is due once its keyframes are there, each entry once, in the order of the text") {
  drill planned("device@5,launch@3,gpu@7,ingest@3");
  CHECK(planned.due(2).empty());
  CHECK(planned.due(4) == names{"launch", "ingest"});
  CHECK(planned.due(4).empty());
  CHECK(!planned.over());
  CHECK(planned.due(100) == names{"device", "gpu"});
  CHECK(planned.over());
  CHECK(drill("").over());
}

TEST_CASE("which roles break a GPU, and how") {
  CHECK(drill::breakage_of("gpu") == breakage::trap);
  CHECK(drill::breakage_of("launch") == breakage::refused_launch);
  CHECK(!drill::breakage_of("device"));
}

TEST_CASE("a drill that cannot be is refused") {
  for (const char* text : {"gpu", "gpu@", "gpu@-1", "gpu@1x", "gpu0@1", "GPU@1", "@1", "mesher@1"})
    CHECK_THROWS_AS(drill(text), std::invalid_argument);
  const drill planned("gpu@1,device@1,launch@2");
  CHECK_NOTHROW(planned.check_gpus(2));
  CHECK_NOTHROW(drill("device@1").check_gpus(0));
  CHECK_THROWS_WITH(planned.check_gpus(1), "drill breaks GPUs (gpu, launch) 2 times, but GPUs in use: 1");
}

TEST_CASE("GPUs are broken one after the other, for good") {
  const std::vector gpus{emulated_gpu(), emulated_gpu(), emulated_gpu()};
  gpu_breaker breaker(gpus);
  gpus[1]->break_down(breakage::trap); // by itself, before its turn
  CHECK(works(*gpus[0]));
  breaker.break_next(breakage::refused_launch);
  CHECK(!works(*gpus[0]));
  CHECK(works(*gpus[2]));
  breaker.break_next(breakage::refused_launch);
  CHECK(works(*gpus[2]));
  breaker.break_next(breakage::trap);
  for (const auto& gpu : gpus)
    CHECK(!works(*gpu));
  breaker.break_next(breakage::trap); // there is none left
}
