#include "net/base/utf8.hpp"

namespace tessera {

std::string printable(std::string_view text, size_t most) {
  std::string shown(text.substr(0, most));
  for (char& c : shown)
    if (c < 0x20 || c > 0x7e)
      c = '?';
  if (text.size() > most)
    shown += "...";
  return shown;
}

} // namespace tessera
