#pragma once

#include "messages/keyframe_sink.hpp"
#include "net/publishers/recorder.hpp"
#include "net/sources/recording/recording_source.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <variant>
#include <vector>

namespace tessera::testing {

/// A name in the folder for temporary files; what is there is removed.
class recording_path {
public:
  explicit recording_path(const std::string& name = "a")
    : path_(std::filesystem::temp_directory_path() / ("tessera_test_" + std::to_string(::getpid()) + "_" + name + ".mcap")) {
    std::filesystem::remove(path_);
  }
  ~recording_path() { std::filesystem::remove(path_); }
  recording_path(const recording_path&) = delete;
  recording_path& operator=(const recording_path&) = delete;
  [[nodiscard]] std::string text() const { return path_.string(); }

  [[nodiscard]] std::string bytes() const {
    std::ostringstream out;
    out << std::ifstream(path_, std::ios::binary).rdbuf();
    return out.str();
  }
  void write(std::string_view bytes) const {
    std::ofstream(path_, std::ios::binary | std::ios::trunc).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }

private:
  std::filesystem::path path_;
};

/// A keyframe in which every value is told from its neighbours; some are no numbers that a map would take.
inline keyframe a_keyframe(uint32_t number, uint32_t channels = 3, bool confident = false, uint32_t points = 37) {
  auto body = std::make_shared<owned_keyframe_body>();
  body->channel_count = channels;
  for (uint32_t i = 0; i < points; ++i) {
    for (uint32_t k = 0; k < 3; ++k)
      body->point_data.push_back(static_cast<float>(1000 * number + 3 * i + k) / 7);
    for (uint32_t k = 0; k < channels; ++k)
      body->colour_data.push_back(static_cast<uint8_t>(number + 5 * i + k));
    if (confident)
      body->confidence_data.push_back(static_cast<float>(i) / 3);
  }
  keyframe out;
  out.id = {"frame \xc3\xa4 " + std::to_string(number), number % 2 ? "session one" : ""};
  out.timestamp_ns = 1'000'000'007ull * number;
  out.received_ns = 1'790'000'000'000'000'001ull + 33'000'000ull * number;
  out.world_from_camera.m = {0, -1, 0, 0.1f + static_cast<float>(number), 1, 0, 0, -2.3f, 0, 0, 1, 1e-7f, 0, 0, 0, 1};
  out.body = body;
  out.source = "shm";
  out.group = number % 3 ? "floor 2" : "";
  return out;
}

/// Keyframes with every kind of array, and all that can happen to them afterwards.
inline std::vector<map_input> some_inputs() {
  auto moved = a_keyframe(1).world_from_camera;
  moved.m[3] = 0.333333343f;
  return {a_keyframe(0),
          a_keyframe(1, 4),
          a_keyframe(2, 3, true),
          revision{a_keyframe(1).id, moved},
          revision{a_keyframe(0).id, moved, 0},
          a_keyframe(3, 4, true),
          revision{a_keyframe(3).id, moved, UINT64_MAX},
          retraction{a_keyframe(2).id},
          a_keyframe(4, 3, false, 0),
          a_keyframe(2, 3, true)};
}

inline bool same(const map_input& a, const map_input& b) {
  if (a.index() != b.index() || id_of(a) != id_of(b))
    return false;
  if (const auto* x = std::get_if<revision>(&a))
    return x->world_from_camera == std::get<revision>(b).world_from_camera && x->number == std::get<revision>(b).number;
  const auto* x = std::get_if<keyframe>(&a);
  if (!x)
    return true;
  const auto& y = std::get<keyframe>(b);
  return x->timestamp_ns == y.timestamp_ns && x->received_ns == y.received_ns && x->world_from_camera == y.world_from_camera
         && x->source == y.source && x->group == y.group && x->body->channels() == y.body->channels()
         && std::ranges::equal(x->body->points(), y.body->points()) && std::ranges::equal(x->body->colours(), y.body->colours())
         && std::ranges::equal(x->body->confidence(), y.body->confidence());
}

inline bool same(const std::vector<map_input>& a, const std::vector<map_input>& b) {
  return std::ranges::equal(a, b, [](const auto& x, const auto& y) { return same(x, y); });
}

/// Keeps what a recording brings, in order.
class input_sink final : public keyframe_sink {
public:
  std::vector<map_input> inputs;
  std::vector<correction_entry> moves; ///< of groups
  std::vector<std::string> asides;     ///< reasons
  void offer(map_input what, completion done) override {
    inputs.push_back(std::move(what));
    done({});
  }
  void correct(correction what, completion done) override {
    moves.insert(moves.end(), what.entries.begin(), what.entries.end());
    done({});
  }
  void set_aside(const std::string& source, const std::string&, const std::string& reason) override {
    asides.push_back(source + ": " + reason);
  }
};

/// Records all of it; answers what each was told.
inline std::vector<verdict> record(const recording_path& to, const std::vector<map_input>& all,
                                   mcap::packing packing = mcap::packing::none) {
  recorder file(to.text(), {packing, {}, {}, {}});
  std::vector<verdict> out;
  for (const auto& one : all)
    file.offer(one, [&](const verdict& v) { out.push_back(v); });
  file.close();
  return out;
}

inline input_sink played(const recording_path& from, const sequence_options& how = {}, const recording_options& options = {}) {
  input_sink out;
  make_recording_source(from.text(), options, how, {})->run(out, {});
  return out;
}

} // namespace tessera::testing
