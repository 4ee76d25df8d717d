#pragma once
// Keyframes taken whole, as tests ask for them.

#include "cuda_world.hpp"

#include <algorithm>
#include <tuple>

namespace tessera::test {

using report_future = std::future<cuda::fuse_report>;

/// An answer to ask for, which arrives in the future.
inline cuda::keyframe_device::fused answer_into(report_future& future) {
  auto promise = std::make_shared<std::promise<cuda::fuse_report>>();
  future = promise->get_future();
  return [promise](cuda::fuse_report report, const std::exception_ptr& failure) {
    failure ? promise->set_exception(failure) : promise->set_value(std::move(report));
  };
}

inline report_future fuse(cuda::keyframe_device& fields, const keyframe& frame, cuda::fuse_options options = {},
                          bool pinned = false) {
  report_future future;
  fields.fuse(pinned ? fields.pin(*frame.body) : frame.body, frame.world_from_camera, options, answer_into(future));
  return future;
}

inline report_future fuse_handed(cuda::keyframe_device& fields, std::shared_ptr<const cuda::handed_rays> rays,
                                 const keyframe& frame, cuda::fuse_options options) {
  report_future future;
  fields.fuse_handed(std::move(rays), frame.world_from_camera, options, answer_into(future));
  return future;
}

inline std::vector<ray> in_order(std::vector<ray> rays) {
  const auto key = [](const ray& r) { return std::tuple(r.x, r.y, r.z, r.r, r.g, r.b, r.points); };
  std::sort(rays.begin(), rays.end(), [&](const ray& a, const ray& b) { return key(a) < key(b); });
  return rays;
}

inline std::tuple<int32_t, int32_t, int32_t> end_of(const ray& r) {
  return {r.x, r.y, r.z};
}

inline std::vector<keyframe> some_keyframes(std::mt19937& random, size_t count) {
  std::vector<keyframe> out;
  for (size_t i = 0; i < count; ++i)
    out.push_back(random_keyframe(random));
  return out;
}

/// A keyframe whose memory changes while it is copied.
class torn_body final : public keyframe_body {
public:
  explicit torn_body(std::shared_ptr<const keyframe_body> from) : from_(std::move(from)) {}
  [[nodiscard]] std::span<const float> points() const override { return from_->points(); }
  [[nodiscard]] std::span<const uint8_t> colours() const override { return from_->colours(); }
  [[nodiscard]] uint32_t channels() const override { return from_->channels(); }
  [[nodiscard]] std::span<const float> confidence() const override { return from_->confidence(); }
  [[nodiscard]] std::string torn() const override { return "its segment shrank"; }

private:
  std::shared_ptr<const keyframe_body> from_;
};

/// The map of the CPU takes a keyframe; the device's is told which regions there are.
inline void add_to_cpu(two_worlds& both, const keyframe& frame, int sign = 1) {
  both.cpu.add(scan_of(both.cpu.map, frame), sign);
  both.device.regions = both.cpu.regions;
}

/// Keeps a device from its next requests until it is told to go on, so that they wait together.
class held_device {
public:
  explicit held_device(cuda::keyframe_device& fields) {
    fields.stats({0, 0, 0}, [this](const field_stats&, const std::exception_ptr&) {
      begun_.set_value();
      go_on_.get_future().wait();
    });
    begun_.get_future().wait();
  }
  void go_on() { go_on_.set_value(); }

private:
  std::promise<void> begun_, go_on_;
};

} // namespace tessera::test
