// A viewer's text frame on the WebSocket.

#include "net/server/text_frames.hpp"

#include "require.hpp"

#include <variant>

using namespace tessera;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto said = parse_talk({reinterpret_cast<const char*>(data), size});
  if (const auto* e = std::get_if<talk_error>(&said)) {
    require(!e->message.empty());
    require(write_error(*e).size() < 4096); // an answer does not grow with what it answers
  } else if (const auto* s = std::get_if<subscribe>(&said)) {
    require(s->have.size() <= size / 9); // [0,0,0,0]
  } else if (const auto* v = std::get_if<view>(&said)) {
    for (float x : v->position)
      require(x - x == 0);
    for (float x : v->direction)
      require(x - x == 0);
  }
  return 0;
}
