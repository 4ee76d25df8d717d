#include "net/commands/patient_source.hpp"
#include "tests/net/sources/recording_sink.hpp"

#include <catch2/catch.hpp>

#include <map>
#include <mutex>
#include <thread>

using namespace tessera;

namespace {

/// Offers so many keyframes.
class counting_source final : public source {
public:
  explicit counting_source(int count) : count_(count) {}
  [[nodiscard]] std::string kind() const override { return "rgbd"; }
  [[nodiscard]] std::string where() const override { return "here"; }
  [[nodiscard]] std::optional<uint64_t> total() const override { return static_cast<uint64_t>(count_); }
  void run(keyframe_sink& sink, std::stop_token stop) override {
    for (int i = 0; i < count_ && !stop.stop_requested(); ++i) {
      keyframe frame;
      frame.id.value = std::to_string(i);
      sink.offer(std::move(frame), [](const verdict&) {});
    }
  }

private:
  int count_;
};

constexpr patience short_pauses{std::chrono::milliseconds{1}, std::chrono::milliseconds{4}};

} // namespace

TEST_CASE("a folder's keyframes that cannot be taken now are offered again until each was taken once") {
  testing::recording_sink sink;
  std::map<std::string, int> tries;
  std::vector<std::string> taken;
  sink.judge = [&](const keyframe& k) {
    if (++tries[k.id.value] <= std::stoi(k.id.value) % 4) // some at once, some after three tries; the last one of all, too
      return verdict{outcome::not_now, "the map is full"};
    taken.push_back(k.id.value);
    return verdict{};
  };
  const auto patient = make_patient(std::make_unique<counting_source>(12), short_pauses);
  CHECK(patient->kind() == "rgbd");
  CHECK(patient->total() == 12u);
  patient->run(sink, {});
  CHECK(taken == std::vector<std::string>{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"});
}

TEST_CASE("what is bad is not offered again") {
  testing::recording_sink sink;
  sink.judge = [](const keyframe&) { return verdict{outcome::refused, "bad"}; };
  make_patient(std::make_unique<counting_source>(3), short_pauses)->run(sink, {});
  CHECK(sink.frames().size() == 3);
}

TEST_CASE("a stop ends the patience") {
  testing::recording_sink sink;
  sink.judge = [](const keyframe&) { return verdict{outcome::not_now, "the map is full"}; };
  const auto patient = make_patient(std::make_unique<counting_source>(3), {std::chrono::hours{1}, std::chrono::hours{1}});
  std::jthread running([&](std::stop_token stop) { patient->run(sink, stop); });
  CHECK(sink.wait_for(1));
  running.request_stop();
  running.join();
  CHECK(sink.frames().size() == 1);
}

TEST_CASE("What happens to a keyframe later waits until it was taken") {
  /// A keyframe that moves twice.
  class moving_source final : public source {
  public:
    [[nodiscard]] std::string kind() const override { return "recording"; }
    [[nodiscard]] std::string where() const override { return "here"; }
    void run(keyframe_sink& sink, std::stop_token) override {
      const auto offer = [&](map_input what) { sink.offer(std::move(what), [](const verdict&) {}); };
      keyframe frame;
      frame.id.value = "a";
      offer(frame);
      for (const float x : {1.f, 2.f}) {
        revision to{frame.id, {}};
        to.world_from_camera.m[3] = x;
        offer(to);
      }
    }
  };
  /// Takes the keyframe at the third time, the first pose at the second; answers later, from threads of its own.
  class slow_sink final : public keyframe_sink {
  public:
    std::vector<float> taken; ///< where it was put
    void offer(map_input what, completion done) override {
      answers_.emplace_back([this, what = std::move(what), done = std::move(done)] {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        const auto* moves = std::get_if<revision>(&what);
        const auto at = moves ? moves->world_from_camera.m[3] : 0;
        {
          const std::lock_guard lock(mutex_);
          if (++tries_[at] < 3 - static_cast<int>(at))
            return done({outcome::not_now, "the map is full"});
          taken.push_back(at);
        }
        done({});
      });
    }
    void set_aside(const std::string&, const std::string&, const std::string&) override {}

  private:
    std::mutex mutex_;
    std::map<float, int> tries_;
    std::vector<std::jthread> answers_;
  } sink;
  make_patient(std::make_unique<moving_source>(), short_pauses)->run(sink, {});
  CHECK(sink.taken == std::vector<float>{0, 1, 2});
}
