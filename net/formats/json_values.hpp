#pragma once
// Values of JSON or MessagePack from outside, checked: each throws bad_input, which names the field, the value and the bound.

#include "messages/pose.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace tessera {

/// The value is of a kind that cannot be there.
[[noreturn]] void refuse_kind(const std::string& field, const nlohmann::json& value, const char* wanted);

/// The name of a list's entry.
std::string entry_name(const std::string& field, size_t i);

/// A text of UTF-8.
const std::string& text_of(const nlohmann::json& value, const std::string& field);
uint64_t unsigned_of(const nlohmann::json& value, const std::string& field);
double number_of(const nlohmann::json& value, const std::string& field);
const nlohmann::json::array_t& items_of(const nlohmann::json& value, std::string_view field);
/// A list of so many.
const nlohmann::json::array_t& list_of(size_t wanted, const nlohmann::json& value, const std::string& field);
/// Four lists of four finite numbers, or one of sixteen.
pose pose_of(const nlohmann::json& value, const std::string& field);
/// A keyframe's id: a text, or an integer's decimal digits, since some producers count their keyframes.
std::string id_text_of(const nlohmann::json& value, const std::string& field);

} // namespace tessera
