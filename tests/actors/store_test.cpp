#include "actors/page_file.hpp"
#include "actors/spilling_store.hpp"

#include <catch2/catch.hpp>

#include <csignal>
#include <filesystem>
#include <map>
#include <random>
#include <sys/resource.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

using namespace tessera;

namespace {

stored_keyframe a_frame(const std::string& id, size_t rays, uint32_t seed) {
  std::mt19937 random{seed};
  std::vector<ray> out(rays);
  for (auto& r : out)
    r = {static_cast<int32_t>(random()), static_cast<int32_t>(random()), static_cast<int32_t>(random()), 1, 2, 3, 4};
  stored_keyframe frame;
  frame.id.value = id;
  frame.timestamp_ns = seed;
  frame.world_from_camera.m[3] = static_cast<float>(seed);
  frame.rays.rays = std::make_shared<const std::vector<ray>>(std::move(out));
  return frame;
}

std::string temporary_folder() {
  return std::filesystem::temp_directory_path().string();
}

} // namespace

TEST_CASE("a store gives back what was put in, from memory and from its file") {
  for (uint64_t cap : {uint64_t{0}, uint64_t{50'000}, uint64_t{1} << 30}) {
    INFO("cap " << cap);
    spilling_store store{cap, temporary_folder()};
    std::map<std::string, stored_keyframe> model;
    std::mt19937 random{3};
    for (uint32_t step = 0; step < 600; ++step) {
      const auto id = "kf" + std::to_string(random() % 40);
      switch (random() % 4) {
      case 0:
      case 1: {
        auto frame = a_frame(id, random() % 3 == 0 ? 0 : random() % 3000, step);
        CHECK(store.put(frame) == model.emplace(id, frame).second);
        break;
      }
      case 2:
        CHECK(store.erase({id}) == (model.erase(id) > 0));
        break;
      default: {
        pose moved;
        moved.m[7] = static_cast<float>(step);
        const auto known = model.find(id);
        CHECK(store.set_pose({id}, moved) == (known != model.end()));
        if (known != model.end())
          known->second.world_from_camera = moved;
      }
      }
      CHECK(store.contains({id}) == model.contains(id));
    }
    CHECK(store.ids().size() == model.size());
    size_t visited = 0;
    uint64_t rays = 0;
    store.for_each([&](const stored_keyframe& frame) {
      ++visited;
      const auto& expected = model.at(frame.id.value);
      rays += frame.rays.rays->size();
      CHECK(*frame.rays.rays == *expected.rays.rays);
      CHECK(frame.world_from_camera == expected.world_from_camera);
      CHECK(frame.timestamp_ns == expected.timestamp_ns);
    });
    CHECK(visited == model.size());
    const auto usage = store.usage();
    CHECK(usage.keyframes == model.size());
    CHECK(usage.rays == rays);
    CHECK(usage.memory_bytes <= cap + model.size() * 300);
    CHECK_FALSE(store.get({"never seen"}));
  }
}

TEST_CASE("the file is no larger than what lives in it, however often keyframes come and go") {
  spilling_store store{0, ""};
  for (uint32_t i = 0; i < 10; ++i)
    store.put(a_frame("kf" + std::to_string(i), 5000, i));
  const auto full = store.usage().disk_bytes;
  CHECK(full >= 10 * 5000 * sizeof(ray));
  CHECK(full <= 10 * (5000 * sizeof(ray) + page_file::page_bytes));
  for (uint32_t round = 0; round < 50; ++round) {
    const auto id = "kf" + std::to_string(round % 10);
    store.erase({id});
    store.put(a_frame(id, 5000, round));
    CHECK(store.usage().disk_bytes <= full);
  }
  for (const auto& id : store.ids())
    store.erase(id);
  CHECK(store.usage().disk_bytes == 0);
  CHECK(store.usage().rays == 0);
}

TEST_CASE("the oldest keyframes leave memory first") {
  spilling_store store{3 * 1000 * sizeof(ray), ""};
  for (uint32_t i = 0; i < 3; ++i)
    store.put(a_frame("kf" + std::to_string(i), 1000, i));
  CHECK(store.usage().disk_bytes == 0);
  store.put(a_frame("kf3", 1000, 3));
  CHECK(store.usage().disk_bytes == page_file::page_bytes);
  CHECK(store.ids() == std::vector<keyframe_id>{{"kf0"}, {"kf1"}, {"kf2"}, {"kf3"}});
}

TEST_CASE("a folder that cannot be written is an error at the start") {
  CHECK_THROWS_AS(spilling_store(0, "/no/such/folder"), std::system_error);
}

TEST_CASE("a disk that fails is an error, and nothing that was stored is lost") {
  // A file size limit makes writes fail as a full disk would; the limit of the process cannot be raised again without rights, so
  // a child tests it.
  const auto child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int failed = 1;
    try {
      spilling_store store{0, ""};
      store.put(a_frame("small", 100, 1));
      ::signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{256 * 1024, 256 * 1024};
      ::setrlimit(RLIMIT_FSIZE, &limit);
      try {
        store.put(a_frame("large", 100'000, 2));
      } catch (const std::system_error&) {
        const auto small = store.get({"small"});
        failed = store.contains({"large"}) || !small || *small->rays.rays != *a_frame("small", 100, 1).rays.rays;
        if (failed == 0)
          failed = store.put(a_frame("next", 100, 3)) ? 0 : 2;
      }
    } catch (...) {
      failed = 3;
    }
    ::_exit(failed);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
