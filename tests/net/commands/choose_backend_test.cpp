#include "net/commands/choose_backend.hpp"

#include "gpu/cuda/field_queue.hpp"
#include "tests/gpu/cuda_emulated.hpp"

#include <catch2/catch.hpp>

#include <new>
#include <stdexcept>

using namespace tessera;

namespace {

/// A machine with so many GPUs; the one of number `full` has no room, `faulty` cannot be opened at all.
gpu_list machine(size_t count, int full = -1, int faulty = -1) {
  gpu_list out;
  for (size_t i = 0; i < count; ++i)
    out.names.push_back("GPU of kind " + std::to_string(i));
  if (count == 0)
    out.missing = "no driver is installed";
  out.open = [=](int number, const map_settings& map, const cuda::field_options& options) -> std::shared_ptr<async_fields> {
    if (number == full)
      throw std::bad_alloc{};
    if (number == faulty)
      throw std::runtime_error("it fell off the bus");
    return std::make_shared<cuda::field_queue<test::emulated_device>>(
      std::make_unique<test::emulated_device>(test::emulated_device::options{}), map, options);
  };
  out.check = [](async_fields&, const map_settings&) {}; // their pools are too small for it
  return out;
}

backend_setup asking(const std::string& name, const std::string& gpus = "all") {
  backend_setup out;
  out.name = name;
  out.gpus = gpus;
  out.gpu.pool_bytes = 8192 * 12'288; // a GPU is tried out before it is used
  out.gpu.most_regions = 64;
  out.gpu.ray_lanes = 1;
  return out;
}

std::string refusal_of(const backend_setup& setup, const gpu_list& found) {
  try {
    (void)choose_gpus(setup, found);
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "nothing was thrown";
}

} // namespace

TEST_CASE("GPUs are chosen by what is asked for and what is there") {
  using numbers = std::vector<int>;
  CHECK(choose_gpus(asking("auto"), machine(3)) == numbers{0, 1, 2});
  CHECK(choose_gpus(asking("cuda"), machine(3)) == numbers{0, 1, 2});
  CHECK(choose_gpus(asking("cpu"), machine(3)).empty());
  CHECK(choose_gpus(asking("cpu", "nonsense"), machine(3)).empty());
  CHECK(choose_gpus(asking("auto"), machine(0)).empty());
  CHECK(choose_gpus(asking("auto", "2"), machine(0)).empty());
  CHECK(choose_gpus(asking("auto", "2"), machine(3)) == numbers{0, 1});
  CHECK(choose_gpus(asking("cuda", "2,0"), machine(3)) == numbers{2, 0});
  CHECK(choose_gpus(asking("cuda", "2,"), machine(3)) == numbers{2});
}

TEST_CASE("what cannot be chosen is named") {
  CHECK(refusal_of(asking("cuda"), machine(0)) == "backend is cuda, but no driver is installed");
  CHECK(refusal_of(asking("rocm"), machine(1)) == "backend is \"rocm\", not auto, cpu or cuda");
  CHECK(refusal_of(asking("auto", "4"), machine(3)) == "gpus is 4, more than the 3 of this machine");
  CHECK(refusal_of(asking("auto", "0"), machine(3)) == "gpus is 0, not 1 or more; backend cpu uses none");
  CHECK(refusal_of(asking("auto", "0,3"), machine(3)) == "gpus is \"0,3\", but GPU 3 is none of 0 to 2");
  CHECK(refusal_of(asking("auto", "1,1"), machine(3)) == "gpus is \"1,1\", which has GPU 1 twice");
  for (const auto* odd : {"x", "1,x", ",", "1,,2", "-1", "1.5", "99999999999", " 1", ""})
    CHECK_THAT(refusal_of(asking("auto", odd), machine(3)), Catch::StartsWith("gpus is \"" + std::string{odd} + "\", not all"));
}

TEST_CASE("with auto a GPU that cannot be opened is left out, with cuda it is an error") {
  const map_settings map;
  CHECK(open_gpus(asking("auto"), map, machine(2)).size() == 2);
  CHECK(open_gpus(asking("auto"), map, machine(2, 0)).size() == 1);
  CHECK(open_gpus(asking("auto"), map, machine(2, 0, 1)).empty()); // the CPU does the work
  CHECK_THROWS_WITH(open_gpus(asking("cuda"), map, machine(2, 0)),
                    Catch::Contains("GPU 0 (GPU of kind 0) cannot be used: it has no room for a pool"));
  CHECK_THROWS_WITH(open_gpus(asking("cuda"), map, machine(2, -1, 1)), Catch::Contains("fell off the bus"));
}

TEST_CASE("a pool leaves half of the cap for meshing") {
  auto setup = asking("cuda");
  setup.cap_bytes = 8192 * 12'288;
  CHECK(open_gpus(setup, map_settings{}, machine(1)).front()->memory().blocks == 4096);
  setup.cap_bytes = 32'768 * 12'288;
  CHECK(open_gpus(setup, map_settings{}, machine(1)).front()->memory().blocks == 8192);
  setup.cap_bytes = 0;
  CHECK(open_gpus(setup, map_settings{}, machine(1)).front()->memory().blocks == 8192);
}

TEST_CASE("a GPU that gives other bytes than the CPU is left out, or refused where it was asked for") {
  auto found = machine(2);
  int asked = 0;
  found.check = [&asked](async_fields&, const map_settings&) {
    if (asked++ % 2 == 0)
      throw std::runtime_error("its rays are not those of the CPU");
  };
  CHECK(open_gpus(asking("auto"), map_settings{}, found).size() == 1);
  CHECK_THROWS_WITH(open_gpus(asking("cuda"), map_settings{}, found), Catch::Contains("its rays are not those of the CPU"));
}
