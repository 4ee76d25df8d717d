#include "net/commands/source_threads.hpp"

#include "tests/net/sources/recording_sink.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <cerrno>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

using namespace tessera;

namespace {

/// Throws what it is told to, so many times; then offers one keyframe.
class failing_source final : public source {
public:
  failing_source(int failures, std::function<void()> fail) : failures_(failures), fail_(std::move(fail)) {}
  [[nodiscard]] std::string kind() const override { return "shm"; }
  [[nodiscard]] std::string where() const override { return "shm:/here"; }
  void run(keyframe_sink& sink, std::stop_token) override {
    if (failures_-- > 0)
      fail_();
    keyframe frame;
    frame.id.value = "1";
    sink.offer(std::move(frame), [](const verdict&) {});
  }

private:
  int failures_;
  std::function<void()> fail_;
};

void no_descriptor() {
  throw std::system_error(EMFILE, std::generic_category(), "eventfd");
}

struct outer_world {
  std::mutex mutex;
  std::vector<std::string> told;
  std::atomic<bool> failed = false;
  std::stop_source stop;
  testing::recording_sink sink;
  source_threads threads{[this](const std::string& what) {
                           const std::lock_guard lock(mutex);
                           told.push_back(what);
                         },
                         stop.get_token()};

  void start(int failures, std::function<void()> fail) {
    threads.start(std::make_unique<failing_source>(failures, std::move(fail)), sink, [this] { failed = true; });
  }
  std::vector<std::string> so_far() {
    const std::lock_guard lock(mutex);
    return told;
  }
};

constexpr const char* wanting = "source shm:/here: eventfd: Too many open files";

} // namespace

TEST_CASE("a source that lacks a descriptor when it starts is started again") {
  outer_world world;
  world.start(2, no_descriptor);
  CHECK(world.sink.wait([&] { return !world.so_far().empty(); }));
  CHECK(world.sink.wait_for(1));
  world.threads.join();
  CHECK(world.so_far() == std::vector<std::string>(2, wanting));
  CHECK(world.threads.trouble().empty());
  CHECK_FALSE(world.failed);
}

TEST_CASE("as long as a source cannot start, it is in trouble, and a stop ends the wait") {
  outer_world world;
  world.start(1'000'000, no_descriptor);
  CHECK(world.sink.wait([&] { return world.threads.trouble() == wanting; }));
  world.stop.request_stop();
  world.threads.request_stop();
  world.threads.join();
  CHECK_FALSE(world.failed);
  CHECK(world.threads.trouble().empty());
  CHECK(world.sink.frames().empty());
}

TEST_CASE("a source that would not start later either has failed") {
  outer_world world;
  world.start(1, [] { throw std::runtime_error("there is no such folder"); });
  CHECK(world.sink.wait([&] { return world.failed.load(); }));
  world.threads.join();
  CHECK(world.so_far().empty());
  CHECK(world.sink.frames().empty());
}
