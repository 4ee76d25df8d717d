#include "messages/map.hpp"

namespace tessera {

std::string to_hex(const map_hash& hash) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text(32, '0');
  for (size_t i = 0; i < 16; ++i) {
    text[15 - i] = digits[(hash.hi >> (4 * i)) & 15];
    text[31 - i] = digits[(hash.lo >> (4 * i)) & 15];
  }
  return text;
}

} // namespace tessera
