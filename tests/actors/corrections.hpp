#pragma once
// How tests correct keyframes, and what the map is then.

#include "revised_frame.hpp"
#include "wanted_map.hpp"
#include "watched_service.hpp"

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace tessera::toy {

using answer_ptr = std::shared_ptr<std::optional<verdict>>;

inline pose shifted(pose at, std::mt19937& random) {
  for (size_t axis = 0; axis < 3; ++axis)
    at.m[4 * axis + 3] += static_cast<float>(random() % 9) - 4;
  return at;
}

/// A quarter of a turn about z, and a shift: exact in floats.
inline pose a_transform(float shift) {
  pose out;
  out.m = {0, -1, 0, shift, 1, 0, 0, -shift, 0, 0, 1, 2, 0, 0, 0, 1};
  return out;
}

/// The same with a scale; a power of two is exact, too.
inline pose enlarged(pose at, float by) {
  for (size_t i = 0; i < 12; ++i)
    at.m[i] *= i % 4 < 3 ? by : 1;
  return at;
}

inline answer_ptr correct(stepped_service& s, const correction& what) {
  return s.ask<verdict>(s.running.ingest.get(), revise_atom::value, what);
}

inline correction_entry move(const keyframe& frame, const pose& to, std::optional<uint64_t> number = {}) {
  return {frame.id, {}, to, number};
}

inline correction move_group(const std::string& group, const pose& by, uint64_t number) {
  return {{{{}, group, by, number}}};
}

inline void put_all(stepped_service& s, const std::vector<keyframe>& frames) {
  for (const auto& frame : frames)
    s.put(frame);
  s.run();
}

inline std::string hash_of(stepped_service& s) {
  return to_hex(s.status().field.hash);
}

inline std::string truth_of(const std::vector<keyframe>& frames) {
  return to_hex(truth(small_map(), frames));
}

} // namespace tessera::toy
