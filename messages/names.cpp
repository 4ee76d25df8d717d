#include "messages/names.hpp"

namespace tessera {

namespace {

std::optional<std::string> fault_of(const char* field, std::string_view text, size_t least, size_t most) {
  const std::string name{field};
  if (text.size() < least || text.size() > most)
    return name + " has " + std::to_string(text.size()) + " bytes, not " + std::to_string(least) + " to " + std::to_string(most);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x20 || c == 0x7f)
      return name + " has the control character " + std::to_string(c) + " at byte " + std::to_string(i)
             + "; only printable ones are allowed";
  }
  if (!is_utf8(text))
    return name + " is not valid UTF-8";
  return {};
}

} // namespace

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    auto byte = [&](size_t k) { return static_cast<unsigned char>(text[k]); };
    unsigned lead = byte(i);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    size_t more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 || text.size() - i <= more)
      return false;
    for (size_t k = 1; k <= more; ++k)
      if ((byte(i + k) & 0xc0) != 0x80)
        return false;
    unsigned second = byte(i + 1);
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) || (lead == 0xf0 && second < 0x90)
        || (lead == 0xf4 && second > 0x8f))
      return false;
    i += more + 1;
  }
  return true;
}

std::optional<std::string> fault_of_id(const keyframe_id& id) {
  if (auto fault = fault_of("keyframe_id", id.value, 1, keyframe_id::max_bytes))
    return fault;
  return fault_of_session(id.session);
}

std::optional<std::string> fault_of_session(std::string_view session) {
  return fault_of("session", session, 0, keyframe_id::max_session_bytes);
}

std::optional<std::string> fault_of_group(std::string_view group) {
  return fault_of("group", group, 0, max_group_bytes);
}

} // namespace tessera
