#pragma once
// What all of the service's JSON has in common.

#include <nlohmann/json.hpp>

#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>

namespace tessera {

/// Serialises; text from outside that is not UTF-8 shows replacement characters instead of throwing.
inline std::string to_text(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// A number that can exceed 2^53, which JSON readers would round.
inline nlohmann::json wide(uint64_t value) {
  return std::to_string(value);
}

/// A float with its own few digits, not those of the double that it becomes.
inline nlohmann::json number(float value) {
  if (!std::isfinite(value))
    return nullptr;
  char text[64];
  auto [end, failed] = std::to_chars(text, text + sizeof text, value);
  double shortest = 0;
  if (failed != std::errc{} || std::from_chars(text, end, shortest).ec != std::errc{})
    return static_cast<double>(value);
  return shortest;
}

} // namespace tessera
