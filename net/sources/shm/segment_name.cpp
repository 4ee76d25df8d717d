#include "net/sources/shm/segment_name.hpp"

#include "messages/xxh3.hpp"

namespace tessera {

namespace {

constexpr char session_mark = '~';

std::string hex(uint64_t value) {
  std::string text(16, '0');
  for (size_t i = 16; i-- > 0; value >>= 4)
    text[i] = "0123456789abcdef"[value & 15];
  return text;
}

} // namespace

keyframe_id id_of_segment(std::string_view name, std::string_view prefix) {
  name.remove_prefix(prefix.size());
  if (name.starts_with(session_mark))
    if (auto end = name.find(session_mark, 1);
        end != std::string_view::npos && end > 1 && end - 1 <= keyframe_id::max_session_bytes && end + 1 < name.size())
      return {std::string(name.substr(end + 1)), std::string(name.substr(1, end - 1))};
  return {std::string(name), {}};
}

std::string id_with_digest(std::string_view id, uint64_t digest) {
  constexpr size_t most = keyframe_id::max_bytes - 17;
  auto kept = id;
  if (id.size() > most) {
    auto end = most;
    while (end > 0 && (static_cast<unsigned char>(id[end]) & 0xc0) == 0x80) // within a character of UTF-8
      --end;
    kept = id.substr(0, end);
    digest = XXH3_64bits_withSeed(id.data(), id.size(), digest);
  }
  return std::string(kept) + "@" + hex(digest);
}

} // namespace tessera
