#include "net/commands/auto_voxel.hpp"
#include "net/commands/offline.hpp"

#include <spdlog/spdlog.h>

#include <stdexcept>
#include <stop_token>
#include <unordered_set>
#include <utility>

namespace tessera {

namespace {

/// Looks at keyframes until one says how large a voxel is to be, and stops their source there.
class choosing_sink final : public keyframe_sink {
public:
  choosing_sink(const map_settings& base, const auto_voxel& how) : base_(base), how_(how) {}

  std::stop_source stop;
  std::optional<map_settings> map;
  std::string reason; ///< why the last one did not say

  void offer(map_input what, completion done) override {
    if (const auto* gone = std::get_if<retraction>(&what))
      retracted_.insert(gone->id);
    const auto* frame = std::get_if<keyframe>(&what);
    if (!frame)
      return done({outcome::unknown, {}});
    if (retracted_.contains(frame->id))
      return done({outcome::retracted, {}});
    if (map)
      return done(only_looked);
    auto choice = choose_voxel(*frame, base_, how_);
    map = choice.map;
    if (map) {
      spdlog::info("{}, from keyframe {}", describe(*map), shown(frame->id));
      stop.request_stop();
      return done(only_looked);
    }
    const auto& why = choice.fault ? choice.fault->text : choice.torn;
    if (choice.fault && !std::exchange(told_, true))
      spdlog::warn("keyframe {} tells no voxel size: {}; waiting for one that does", shown(frame->id), why);
    reason = "keyframe " + shown(frame->id) + ": " + why;
    done(choice.fault ? verdict{outcome::refused, why} : only_looked);
  }
  void set_aside(const std::string&, const std::string& what, const std::string& why) override { reason = what + ": " + why; }

private:
  const verdict only_looked{outcome::not_now, "it was only looked at"};
  const map_settings& base_;
  const auto_voxel& how_;
  bool told_ = false; ///< that one does not say
  std::unordered_set<keyframe_id> retracted_;
};

} // namespace

map_settings map_settings_for(const offline_setup& setup, std::stop_token stop) {
  if (!setup.voxel)
    return setup.map;
  // In the source's own order, so that the voxel size does not depend on the order of the keyframes.
  auto input = setup.input;
  input.sequence.shuffle.reset();
  input.sequence.rate = 0;
  input.sequence.seconds = 0;
  choosing_sink sink(setup.map, *setup.voxel);
  const std::stop_callback told(std::move(stop), [&sink] { sink.stop.request_stop(); });
  make_source(setup.source, input)->run(sink, sink.stop.get_token());
  if (!sink.map)
    throw std::runtime_error("there is no keyframe to derive the voxel size from"
                             + (sink.reason.empty() ? "" : "; the last one: " + sink.reason));
  return *sink.map;
}

} // namespace tessera
