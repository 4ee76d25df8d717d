#pragma once
// Keyframes taken whole from their points, as tests ask for them.

#include "cuda_world.hpp"
#include "tests/support/torn_body.hpp"

namespace tessera::test {

using report_future = std::future<take_report>;

/// An answer to ask for, which arrives in the future.
inline async_fields::take_done answer_into(report_future& future) {
  auto promise = std::make_shared<std::promise<take_report>>();
  future = promise->get_future();
  return [promise](take_report report, const std::exception_ptr& failure) {
    failure ? promise->set_exception(failure) : promise->set_value(std::move(report));
  };
}

inline report_future take(async_fields& fields, const keyframe& frame, take_request how = {}, bool pinned = false) {
  report_future future;
  how.body = pinned ? fields.pin(*frame.body) : frame.body;
  how.world_from_camera = frame.world_from_camera;
  fields.take(std::move(how), answer_into(future));
  return future;
}

inline std::vector<keyframe> some_keyframes(std::mt19937& random, size_t count) {
  std::vector<keyframe> out;
  for (size_t i = 0; i < count; ++i)
    out.push_back(random_keyframe(random));
  return out;
}

/// The map of the CPU takes a keyframe; the device's is told which regions there are.
inline void add_to_cpu(two_worlds& both, const keyframe& frame, int sign = 1) {
  both.cpu.add(scan_of(both.cpu.map, frame), sign);
  both.device.regions = both.cpu.regions;
}

} // namespace tessera::test
