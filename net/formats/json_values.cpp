#include "net/formats/json_values.hpp"

#include "net/base/bad_input.hpp"
#include "net/base/utf8.hpp"

#include <cmath>
#include <limits>

namespace tessera {

using nlohmann::json;

namespace {

const char* kind_of(const json& value) {
  switch (value.type()) {
  case json::value_t::boolean:
    return "a boolean";
  case json::value_t::number_integer:
    return "a negative integer";
  case json::value_t::number_unsigned:
    return "an integer";
  case json::value_t::number_float:
    return "a float";
  case json::value_t::string:
    return "a text";
  case json::value_t::binary:
    return value.get_binary().has_subtype() ? "an extension" : "binary";
  case json::value_t::array:
    return "a list";
  case json::value_t::object:
    return "a map";
  default:
    return "nil";
  }
}

float finite_float(const json& in, const std::string& field) {
  double value = number_of(in, field);
  if (!std::isfinite(value))
    throw bad_input(field + " is " + (std::isnan(value) ? "not a number" : "infinite"));
  if (std::fabs(value) > static_cast<double>(std::numeric_limits<float>::max()))
    throw bad_input(field + " is " + std::to_string(value) + ", which no 32-bit float holds");
  return static_cast<float>(value);
}

} // namespace

std::string entry_name(const std::string& field, size_t i) {
  return field + "[" + std::to_string(i) + "]";
}

void refuse_kind(const std::string& field, const json& value, const char* wanted) {
  throw bad_input(field + " is " + kind_of(value) + ", must be " + wanted);
}

const std::string& text_of(const json& value, const std::string& field) {
  if (!value.is_string())
    refuse_kind(field, value, "a text");
  const auto& found = value.get_ref<const std::string&>();
  if (!is_utf8(found))
    throw bad_input(field + " is not valid UTF-8");
  return found;
}

uint64_t unsigned_of(const json& value, const std::string& field) {
  if (value.is_number_unsigned())
    return value.get<uint64_t>();
  if (value.is_number_integer())
    throw bad_input(field + " is " + value.dump() + ", must not be negative");
  refuse_kind(field, value, "an integer");
}

double number_of(const json& value, const std::string& field) {
  if (!value.is_number())
    refuse_kind(field, value, "a number");
  return value.get<double>();
}

const json::array_t& items_of(const json& value, std::string_view field) {
  if (!value.is_array())
    refuse_kind(std::string(field), value, "a list");
  return value.get_ref<const json::array_t&>();
}

const json::array_t& list_of(size_t wanted, const json& value, const std::string& field) {
  const auto& found = items_of(value, field);
  if (found.size() != wanted)
    throw bad_input(field + " has " + std::to_string(found.size()) + " elements, must have " + std::to_string(wanted));
  return found;
}

pose pose_of(const json& in, const std::string& field) {
  pose p;
  if (const auto& flat = items_of(in, field); flat.size() == 16 && !flat[0].is_array()) {
    for (size_t i = 0; i < 16; ++i)
      p.m[i] = finite_float(flat[i], entry_name(field, i));
    return p;
  }
  const auto& rows = list_of(4, in, field);
  for (size_t r = 0; r < 4; ++r) {
    const auto name = entry_name(field, r);
    const auto& row = list_of(4, rows[r], name);
    for (size_t c = 0; c < 4; ++c)
      p.m[4 * r + c] = finite_float(row[c], entry_name(name, c));
  }
  return p;
}

std::string id_text_of(const json& value, const std::string& field) {
  return value.is_number_integer() ? value.dump() : text_of(value, field);
}

} // namespace tessera
