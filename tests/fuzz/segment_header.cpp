// A segment's or message's bytes: the first eight say how large the whole claims to be, the rest is what is
// there.

#include "net/formats/segment_header.hpp"
#include "net/base/bad_input.hpp"
#include "require.hpp"

#include <cstring>

using namespace tessera;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 8)
    return 0;
  uint64_t claimed = 0;
  std::memcpy(&claimed, data, 8);
  std::span<const std::byte> rest{reinterpret_cast<const std::byte*>(data + 8), size - 8};
  try {
    auto h = parse_segment_header(rest, claimed);
    require(h.point_count > 0 && h.point_count <= max_keyframe_points);
    require(h.points_offset + 12 * uint64_t{h.point_count} == h.colours_offset);
    auto end = h.colours_offset + uint64_t{h.channels} * h.point_count;
    require(h.has_confidence ? h.confidence_offset == end && end + 4 * uint64_t{h.point_count} == claimed : end == claimed);
  } catch (const bad_input& e) {
    require(e.what()[0] != '\0');
  }
  try {
    auto frame = keyframe_of_message({rest.begin(), rest.end()}, {"id"}, pose_layout::automatic);
    float sum = 0;
    for (float v : frame.body->points())
      sum += v;
    for (uint8_t v : frame.body->colours())
      sum += v;
    for (float v : frame.body->confidence())
      sum += v;
    require(sum == sum || sum != sum); // all of it was read
    for (float v : frame.world_from_camera.m)
      require(v - v == 0);
  } catch (const bad_input& e) {
    require(e.what()[0] != '\0');
  }
  return 0;
}
