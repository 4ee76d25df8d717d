#include "config/value.hpp"

#include "config/error.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <type_traits>

namespace tessera::config {

namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())))
    text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())))
    text.remove_suffix(1);
  return text;
}

/// `hint`: what to do about it, where the bounds do not tell.
[[noreturn]] void refuse(const setting& row, const given& from, const std::string& hint = {}) {
  // A token is not repeated: errors end up in logs.
  const auto value = row.name == "token" || row.name == "amqp-url" ? std::string{"the value given"} : in_quotes(from.text);
  throw error(std::string(row.name) + " (" + from.where + "): " + value + " is not " + bounds_text(row)
              + (hint.empty() ? "" : ": " + hint));
}

/// What to do about a text that is no number, or no size.
std::string hint_for(const setting& row, const std::string& text) {
  if (row.unit == "bytes")
    return "give a number of bytes, or one with KiB, MiB, GiB, TiB, kB, MB, GB or TB";
  const auto begins_as_number = text.find_first_of("0123456789") < text.find_first_not_of("0123456789 +-.eE");
  const auto goes_on = text.find_first_not_of("0123456789 +-.eE") != std::string::npos;
  return begins_as_number && goes_on ? "give the number alone" : "";
}

/// Deployments write log levels in the words of other libraries.
std::string_view synonym(const setting& row, std::string_view text) {
  if (row.name != "log-level")
    return text;
  if (text == "warning")
    return "warn";
  if (text == "fatal")
    return "critical";
  return text;
}

double number(const setting& row, const given& from) {
  double value = 0;
  try {
    value = row.unit == "bytes" ? parse_bytes(from.text) : parse_number(from.text);
  } catch (const std::invalid_argument&) {
    refuse(row, from, hint_for(row, from.text));
  }
  if (!(value >= row.min && value <= row.max))
    refuse(row, from);
  return value;
}

template <class T>
T read_number(const setting& row, const given& from) {
  const auto value = number(row, from);
  if constexpr (std::is_integral_v<T>) {
    if (value != std::floor(value))
      refuse(row, from, "give a whole number");
    if (std::fmod(value, row.step) != 0)
      refuse(row, from);
  }
  return static_cast<T>(value);
}

struct reader {
  settings& to;
  const setting& row;
  const given& from;

  template <class T>
  void operator()(T settings::*field) const {
    to.*field = read_number<T>(row, from);
  }

  template <class T>
  void operator()(std::optional<T> settings::*field) const {
    if (lower(trim(from.text)) == row.word)
      (to.*field).reset();
    else
      to.*field = read_number<T>(row, from);
  }

  void operator()(bool settings::*field) const {
    try {
      to.*field = parse_bool(from.text);
    } catch (const std::invalid_argument&) {
      refuse(row, from);
    }
  }

  void operator()(std::string settings::*field) const {
    auto text = from.text;
    if (!row.choices.empty()) {
      const auto wanted = lower(trim(text));
      text = synonym(row, wanted);
      if (std::find(row.choices.begin(), row.choices.end(), text) == row.choices.end())
        refuse(row, from);
    } else if (text.find('\0') != std::string::npos
               || (row.max > 0 && (static_cast<double>(text.size()) < row.min || static_cast<double>(text.size()) > row.max))) {
      refuse(row, from);
    }
    try {
      if (row.check != nullptr)
        row.check(text);
    } catch (const std::invalid_argument& e) {
      refuse(row, from, e.what());
    }
    to.*field = std::move(text);
  }
};

} // namespace

std::string in_quotes(std::string_view text) {
  constexpr size_t longest = 60;
  std::string out = "\"";
  for (auto c : text.substr(0, longest))
    out += std::isprint(static_cast<unsigned char>(c)) ? c : '?';
  return out + (text.size() > longest ? "...\"" : "\"");
}

double parse_number(std::string_view text) {
  text = trim(text);
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || code != std::errc{} || end != text.data() + text.size() || !std::isfinite(value))
    throw std::invalid_argument("not a number");
  return value;
}

double parse_bytes(std::string_view text) {
  text = trim(text);
  const auto letters = std::find_if(text.begin(), text.end(), [&](const char& c) {
    // An exponent's e is followed by a digit or a sign, and no unit begins with it.
    return std::isalpha(static_cast<unsigned char>(c)) && c != 'e';
  });
  const auto digits = static_cast<size_t>(letters - text.begin());
  const auto unit = lower(trim(text.substr(digits)));
  const auto value = parse_number(text.substr(0, digits));
  static constexpr std::pair<std::string_view, double> units[] = {
    {"", 1},         {"b", 1},      {"k", 1024}, {"kb", 1e3},     {"kib", 1024}, {"m", 0x1p20}, {"mb", 1e6},
    {"mib", 0x1p20}, {"g", 0x1p30}, {"gb", 1e9}, {"gib", 0x1p30}, {"t", 0x1p40}, {"tb", 1e12},  {"tib", 0x1p40},
  };
  for (const auto& [name, factor] : units)
    if (unit == name)
      return std::floor(value * factor);
  throw std::invalid_argument("not a size");
}

bool parse_bool(std::string_view text) {
  const auto word = lower(trim(text));
  for (auto yes : {"true", "yes", "on", "1"})
    if (word == yes)
      return true;
  for (auto no : {"false", "no", "off", "0"})
    if (word == no)
      return false;
  throw std::invalid_argument("not true or false");
}

void assign(settings& to, const setting& row, const given& from) {
  std::visit(reader{to, row, from}, row.value);
}

} // namespace tessera::config
