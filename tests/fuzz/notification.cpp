// A notification as it comes from the broker.

#include "net/formats/notification.hpp"

#include "net/base/bad_input.hpp"
#include "require.hpp"

using namespace tessera;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::span<const std::byte> bytes{reinterpret_cast<const std::byte*>(data), size};
  for (const char* key : {"keyframe.new", "keyframe.retract", "else"}) {
    try {
      auto note = parse_notification(bytes, key);
      if (note.many) {
        require(note.what == notification::type::revise && !note.many->entries.empty());
        for (const auto& one : note.many->entries)
          for (float v : one.to.m)
            require(v - v == 0);
        continue;
      }
      require(!note.id.value.empty() && note.id.value.size() <= keyframe_id::max_bytes);
      require(note.what != notification::type::revise || note.world_from_camera);
      if (note.world_from_camera)
        for (float v : note.world_from_camera->m)
          require(v - v == 0);
    } catch (const bad_input& e) {
      require(e.what()[0] != '\0');
    }
  }
  return 0;
}
