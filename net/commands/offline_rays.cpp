#include "gpu/fields.hpp"
#include "net/base/utf8.hpp"
#include "net/commands/offline.hpp"
#include "net/formats/ray_file.hpp"
#include "net/formats/whole_file.hpp"

#include <iostream>
#include <stdexcept>
#include <stop_token>
#include <utility>
#include <vector>

namespace tessera {

namespace {

/// Passes on what is about one keyframe alone.
class one_keyframe_sink final : public keyframe_sink {
public:
  /// `found` is called when it comes.
  one_keyframe_sink(keyframe_sink& next, std::string shown_id, std::function<void()> found)
    : next_(next), wanted_(std::move(shown_id)), found_(std::move(found)) {}

  void offer(map_input what, completion done) override {
    const auto name = shown(id_of(what));
    const auto comes = std::holds_alternative<keyframe>(what);
    if (comes && others_++ < most_told)
      told_ += (told_.empty() ? "" : ", ") + printable(name);
    if (name != wanted_)
      return done({});
    id = id_of(what);
    next_.offer(std::move(what), std::move(done));
    if (comes)
      found_();
  }
  void correct(correction what, completion done) override { next_.correct(std::move(what), std::move(done)); }
  void set_aside(const std::string& source, const std::string& what, const std::string& reason) override {
    next_.set_aside(source, what, reason);
  }

  /// Which keyframes came, in words.
  [[nodiscard]] std::string others() const {
    return others_ == 0 ? "none at all" : told_ + (others_ > most_told ? ", ... (" + std::to_string(others_) + ')' : "");
  }

  keyframe_id id;

private:
  static constexpr uint64_t most_told = 5;
  keyframe_sink& next_;
  const std::string wanted_;
  const std::function<void()> found_;
  std::string told_;
  uint64_t others_ = 0;
};

} // namespace

int rays_command(const offline_setup& setup, const std::string& id, const std::string& file) {
  check_output(file, ".ply"); // before the work
  const ending end(setup, "rays");
  const auto map = map_settings_for(setup, end.token());
  const auto input = make_source(setup.source, setup.input);
  auto options = checked_options(map, 1);
  options.ids_repeat = end.is_needed() || input->ids_repeat();
  options.keep_rays = true;
  // A map of one keyframe: what becomes of it is what would become of it among others.
  offline_map one(map, {make_cpu_fields(map, {.threads = 0, .cap_bytes = setup.backend.cap_bytes})}, std::move(options));
  std::stop_source stop;
  const std::stop_callback when_told(end.token(), [&stop] { stop.request_stop(); });
  one_keyframe_sink only(one, id, [&stop, changes = input->brings_changes()] {
    if (!changes)
      stop.request_stop();
  });
  {
    progress_sink sink(only, "rays", input->total(), setup.progress);
    input->run(sink, stop.get_token());
  }
  one.finish();
  const auto found = one.rays_of(only.id);
  if (!found && only.id == keyframe_id{})
    throw std::runtime_error(setup.source + " has no keyframe '" + printable(id) + "'; it has " + only.others());
  if (!found)
    throw std::runtime_error("keyframe " + printable(id) + " is not in the map"
                             + (one.counts().last_reason.empty() ? ", since it was retracted" : ": " + one.counts().last_reason));
  const auto& rays = *found->batch.rays;
  write_whole_file(file, [&](std::ostream& out) { write_rays(out, rays, found->world_from_camera, map.voxel_m, id); });
  std::cerr << "tessera: " << file << ": " << rays.size() << " rays of " << one.counts().points << " points\n";
  return 0;
}

} // namespace tessera
