#include "actors/service.hpp"
#include "net/commands/offline.hpp"

#include <optional>
#include <stdexcept>

namespace tessera {

namespace {

/// Keeps the first keyframe and lets all others go.
class first_keyframe final : public keyframe_sink {
public:
  std::optional<keyframe> frame;
  std::string reason;
  void offer(keyframe offered, completion done) override {
    if (!frame)
      frame = std::move(offered);
    done({outcome::accepted, {}});
  }
  void retract(keyframe_id, completion done) override { done({outcome::unknown, {}}); }
  void revise(keyframe_id, pose, completion done) override { done({outcome::unknown, {}}); }
  void set_aside(const std::string&, const std::string& what, const std::string& why) override { reason = what + ": " + why; }
};

} // namespace

mapping mapping_from(const keyframe& first, mapping base) {
  base.voxel_m = auto_voxel_m(first);
  if (!(base.voxel_m > 0))
    throw std::runtime_error("keyframe " + first.id.value + " has no valid point to derive the voxel size from; set voxel-size");
  base.truncation_m = 3 * base.voxel_m;
  // The ratios that the fixed defaults have at the default voxel size.
  base.min_range_m = base.voxel_m;
  base.max_range_m = 2000 * base.voxel_m;
  return base;
}

mapping mapping_for(const offline_setup& setup) {
  if (!setup.auto_voxel)
    return setup.map;
  // In the source's own order, so that the voxel size does not depend on the order of the keyframes.
  auto input = setup.input;
  input.limit = 1;
  input.shuffle.reset();
  input.rate = 0;
  first_keyframe sink;
  make_source(setup.source, input)->run(sink, {});
  if (!sink.frame)
    throw std::runtime_error("there is no keyframe to derive the voxel size from"
                             + (sink.reason.empty() ? "" : ": " + sink.reason));
  return mapping_from(*sink.frame, setup.map);
}

} // namespace tessera
