#pragma once

#include "gpu/cuda/keyframes/asked_keyframe.hpp"
#include "gpu/fields.hpp"
#include "messages/ids.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <variant>
#include <vector>

namespace tessera::cuda {

/// What a device's fields are asked for.
struct field_request {
  enum class task : uint8_t { take, extract, stats, drop, clear, export_image, import_image, add_image };
  task what;
  region_key region; ///< none of take and clear
  std::variant<async_fields::done, async_fields::mesh_done, async_fields::stats_done, async_fields::image_done, asked_keyframe>
    answer;
  region_image image{}; ///< to be imported, or added

  void fail(const std::exception_ptr& why);
};

/// The requests that wait for the thread of a device's fields, and which of them come next. Threads: guarded by its owner.
class request_line {
public:
  using steady = std::chrono::steady_clock;
  /// `extract_wait`: how long patient extractions let keyframes go first. `table_size`: blocks that a region could have.
  request_line(steady::duration extract_wait, uint32_t table_size);

  void add(field_request r) { waiting_.push_back(std::move(r)); }
  /// An extraction that lets keyframes go first.
  void add_patient(region_key region, async_fields::mesh_done answer);
  /// Answers all with an error.
  void fail(const std::exception_ptr& why);

  /// Whether there are none but patient ones.
  [[nodiscard]] bool empty() const { return waiting_.empty(); }
  [[nodiscard]] size_t size() const { return waiting_.size(); } ///< likewise
  [[nodiscard]] bool has_patient() const { return !patient_.empty(); }
  /// When the patient ones have their turn, of which there are some: if no other request waits, after the pause that the last of
  /// them made necessary; else when keyframes went first for long enough.
  [[nodiscard]] steady::time_point patient_turn() const;
  [[nodiscard]] bool patient_first() const { return has_patient() && steady::now() >= patient_turn(); }
  /// Patient ones wait for that long from now on, if no other request waits.
  void pause_patient(steady::duration pause) { patient_from_ = steady::now() + pause; }

  /// Whether a keyframe comes next.
  [[nodiscard]] bool keyframe_is_next() const { return !empty() && waiting_.front().what == field_request::task::take; }
  /// Likewise one that is to be meshed.
  [[nodiscard]] bool meshed_keyframe_is_next() const {
    return keyframe_is_next() && std::get<asked_keyframe>(waiting_.front().answer).what.mesh;
  }
  field_request take_next();
  /// The next request, which is no keyframe, and all of its kind that do not pass another one of their region. Keyframes may be
  /// passed: they take effect when they are answered.
  std::vector<field_request> take_batch();
  /// The patient ones that were asked for first, of each region once.
  std::vector<field_request> take_patient();

private:
  struct patient_request {
    region_key region;
    async_fields::mesh_done answer;
    steady::time_point since;
  };
  [[nodiscard]] size_t most_at_once(field_request::task what) const;

  steady::duration extract_wait_;
  size_t most_extractions_;
  std::deque<field_request> waiting_;
  std::deque<patient_request> patient_; ///< by time
  steady::time_point patient_from_{};   ///< their turn, if nothing else waits
};

} // namespace tessera::cuda
