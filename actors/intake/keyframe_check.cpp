#include "actors/intake/keyframe_check.hpp"

#include "messages/names.hpp"

#include <cmath>
#include <cstdio>
#include <map>

namespace tessera {

namespace {

std::string number(double x) {
  char text[32];
  std::snprintf(text, sizeof(text), "%g", x);
  return text;
}

std::string element(size_t i) {
  return "pose[" + std::to_string(i / 4) + "][" + std::to_string(i % 4) + "]";
}

} // namespace

std::optional<keyframe_fault> check_id(const keyframe_id& id) {
  if (auto fault = fault_of_id(id))
    return keyframe_fault{refusal::id, std::move(*fault)};
  return {};
}

std::optional<keyframe_fault> check_pose(const pose& world_from_camera) {
  const auto& m = world_from_camera.m;
  auto fault = [](std::string text) { return keyframe_fault{refusal::pose, std::move(text)}; };
  bool all_zero = true;
  for (size_t i = 0; i < m.size(); ++i) {
    if (!std::isfinite(m[i]))
      return fault(element(i) + " is " + number(m[i]) + ", not finite");
    all_zero = all_zero && m[i] == 0.f;
  }
  if (all_zero)
    return fault("pose is all zeros");
  const std::array<float, 4> last{0, 0, 0, 1};
  for (size_t c = 0; c < 4; ++c)
    if (std::abs(m[12 + c] - last[c]) > pose_tolerance)
      return fault(element(12 + c) + " is " + number(m[12 + c]) + ", not " + number(last[c])
                   + ": the last row must be 0 0 0 1 within " + number(static_cast<double>(pose_tolerance))
                   + " (row-major, world_from_camera)");
  const double tolerance = pose_tolerance;
  const double squared = mean_squared_column(world_from_camera), scale = std::sqrt(squared);
  constexpr double rounding = 1e-5; // a scale at a bound is one, however its columns were rounded
  if (scale < least_scale * (1 - rounding) || scale > largest_scale * (1 + rounding))
    return fault("pose's scale is " + number(scale) + ", not " + number(least_scale) + " to " + number(largest_scale)
                 + " (it is the length of the first three columns)");
  auto r = [&m](size_t row, size_t col) { return static_cast<double>(m[4 * row + col]); };
  for (size_t i = 0; i < 3; ++i)
    for (size_t j = 0; j < 3; ++j) {
      const auto dot = r(0, i) * r(0, j) + r(1, i) * r(1, j) + r(2, i) * r(2, j), wanted = i == j ? 1.0 : 0.0;
      // A scale of 1 need not be divided out: what was rounded may be nearer to a rotation as it is.
      const auto as_it_is = squared_scale(world_from_camera) == 1 && std::abs(dot - wanted) <= tolerance;
      if (std::abs(dot / squared - wanted) > tolerance && !as_it_is)
        return fault("pose is not a rotation times a scale: columns " + std::to_string(i) + " and " + std::to_string(j)
                     + " have the product " + number(dot / squared) + ", divided by the square of the scale " + number(scale)
                     + ", not " + number(wanted) + " within " + number(tolerance));
    }
  auto det = r(0, 0) * (r(1, 1) * r(2, 2) - r(1, 2) * r(2, 1)) - r(0, 1) * (r(1, 0) * r(2, 2) - r(1, 2) * r(2, 0))
             + r(0, 2) * (r(1, 0) * r(2, 1) - r(1, 1) * r(2, 0));
  if (det < 0)
    return fault("pose is a reflection: its determinant is " + number(det) + ", not above 0");
  return {};
}

std::optional<keyframe_fault> check_keyframe(const keyframe& frame, const keyframe_limits& limits) {
  if (auto fault = check_id(frame.id))
    return fault;
  if (auto fault = fault_of_group(frame.group))
    return keyframe_fault{refusal::id, std::move(*fault)};
  if (auto fault = check_pose(frame.world_from_camera))
    return fault;
  if (!frame.body)
    return keyframe_fault{refusal::points, "the keyframe has no points"};
  const auto floats = frame.body->points().size();
  const auto points = floats / 3;
  if (floats % 3 != 0)
    return keyframe_fault{refusal::points, "points has " + std::to_string(floats) + " numbers, not a multiple of 3"};
  if (points == 0 || points > limits.max_points)
    return keyframe_fault{refusal::points,
                          "point_count is " + std::to_string(points) + ", not 1 to " + std::to_string(limits.max_points)};
  const auto channels = frame.body->channels();
  if (channels != 3 && channels != 4)
    return keyframe_fault{refusal::colours, "colour channels is " + std::to_string(channels) + ", not 3 or 4"};
  const auto colours = frame.body->colours().size();
  if (colours != points * channels)
    return keyframe_fault{refusal::colours, "colours has " + std::to_string(colours) + " bytes, not "
                                              + std::to_string(points * channels) + " (" + std::to_string(points) + " points of "
                                              + std::to_string(channels) + " channels)"};
  const auto confidence = frame.body->confidence().size();
  if (confidence != 0 && confidence != points)
    return keyframe_fault{refusal::confidence,
                          "confidence has " + std::to_string(confidence) + " values, not 0 or " + std::to_string(points)};
  return {};
}

std::optional<keyframe_fault> check_input(const map_input& what, const keyframe_limits& limits) {
  if (const auto* frame = std::get_if<keyframe>(&what))
    return check_keyframe(*frame, limits);
  if (auto fault = check_id(id_of(what)))
    return fault;
  if (const auto* moves = std::get_if<revision>(&what))
    return check_pose(moves->world_from_camera);
  return {};
}

std::optional<keyframe_fault> check_correction(const correction& what) {
  const auto& all = what.entries;
  if (all.empty() || all.size() > correction::max_entries)
    return keyframe_fault{refusal::id, "revisions has " + std::to_string(all.size()) + " entries, not 1 to "
                                         + std::to_string(correction::max_entries)};
  std::map<std::pair<std::string_view, keyframe_id>, size_t> named;
  for (size_t i = 0; i < all.size(); ++i) {
    const auto& one = all[i];
    const auto in_entry = [i](keyframe_fault fault) {
      fault.text.insert(0, "revisions[" + std::to_string(i) + "]: ");
      return fault;
    };
    if (one.group.empty()) {
      if (auto fault = check_id(one.id))
        return in_entry(*fault);
    } else if (auto fault = fault_of_group(one.group)) {
      return in_entry({refusal::id, *fault});
    } else if (!one.number) {
      return in_entry(
        {refusal::id, "revision is missing: a group's transform must have one, so that it moves no keyframe twice"});
    }
    if (auto fault = check_pose(one.to)) {
      if (constexpr std::string_view field = "pose"; !one.group.empty() && fault->text.starts_with(field))
        fault->text.replace(0, field.size(), "transform");
      return in_entry(*fault);
    }
    if (const auto [other, fresh] = named.try_emplace({one.group, one.id}, i); !fresh)
      return in_entry({refusal::id, (one.group.empty() ? "keyframe_id is " + shown(one.id) : "group is " + one.group)
                                      + ", as in revisions[" + std::to_string(other->second) + "]: name each once"});
  }
  return {};
}

} // namespace tessera
