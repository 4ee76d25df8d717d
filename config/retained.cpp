#include "config/retained.hpp"

#include "config/value.hpp"
#include "messages/comma_list.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <string>

namespace tessera::config {

namespace {

constexpr double most = 9007199254740992.0; // 2^53: every whole number up to it is exact
constexpr double most_age_s = 100 * 366 * 86400.0;

[[noreturn]] void refuse(std::string_view part, const std::string& why) {
  throw std::invalid_argument(in_quotes(part) + ' ' + why);
}

std::optional<double> seconds_in(std::string_view unit) {
  if (unit == "s")
    return 1;
  if (unit == "min")
    return 60;
  if (unit == "h")
    return 3600;
  if (unit == "d")
    return 86400;
  return {};
}

void take_in(uint64_t& bound, double value, double highest, std::string_view part, const char* what, const char* range) {
  if (bound != 0)
    refuse(part, std::string{"is a second "} + what);
  if (!(value >= 1 && value <= highest))
    refuse(part, std::string{"is not "} + range);
  bound = static_cast<uint64_t>(value);
}

} // namespace

retained parse_retained(std::string_view text) {
  retained out;
  if (without_blanks(text) == "all")
    return out;
  for (const auto part : comma_list(text)) {
    const auto letter = static_cast<size_t>(
      std::find_if(part.begin(), part.end(), [](char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; })
      - part.begin());
    const auto unit = part.substr(letter);
    if (unit == "m" || unit == "M")
      refuse(part, "can be minutes or megabytes: write min or MB");
    try {
      if (const auto factor = seconds_in(unit)) {
        take_in(out.age_s, std::floor(parse_number(part.substr(0, letter)) * *factor), most_age_s, part, "age", "1 s to 36600 d");
      } else if (unit.empty()) {
        const auto value = parse_number(part);
        if (value != std::floor(value))
          refuse(part, "is not a whole number of keyframes");
        take_in(out.keyframes, value, most, part, "number of keyframes", "1 keyframe or more");
      } else if (unit.back() == 'B') {
        take_in(out.ray_bytes, parse_bytes(part), most, part, "size", "1 B or more, and less than 8 PiB");
      } else {
        refuse(part, "has the unit " + in_quotes(unit)
                       + ", not s, min, h, d, kB, MB, GB, TB, KiB, MiB, GiB or TiB, or none for "
                         "keyframes");
      }
    } catch (const std::invalid_argument& e) {
      if (std::string_view{e.what()}.starts_with('"'))
        throw;
      refuse(part, "is not a number with a unit, or one of keyframes");
    }
  }
  return out;
}

} // namespace tessera::config
