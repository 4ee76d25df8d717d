#pragma once

#include <string_view>
#include <vector>

namespace tessera {

/// Text without the blanks around it.
inline std::string_view without_blanks(std::string_view text) {
  constexpr std::string_view blanks = " \t\n\v\f\r";
  const auto first = text.find_first_not_of(blanks);
  return first == text.npos ? std::string_view{} : text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/// What a setting's list has between its commas, without the blanks around each; a text without commas is one part.
inline std::vector<std::string_view> comma_list(std::string_view text) {
  std::vector<std::string_view> out;
  for (auto comma = text.find(','); comma != text.npos; comma = text.find(',')) {
    out.push_back(without_blanks(text.substr(0, comma)));
    text.remove_prefix(comma + 1);
  }
  out.push_back(without_blanks(text));
  return out;
}

} // namespace tessera
