#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace tessera {

/// The streams of a recording, by the number of their channel, which is also that of their schema.
enum class recording_stream : uint16_t { keyframes = 1, cameras = 2, revisions = 3, retractions = 4 };
inline constexpr std::array all_recording_streams{recording_stream::keyframes, recording_stream::cameras,
                                                  recording_stream::revisions, recording_stream::retractions};

/// The name of a stream's topic, and of its messages' type.
std::string_view topic_of(recording_stream what);
std::string_view schema_name_of(recording_stream what);

/// The number that the field of our own has in foxglove.PointCloud, which makes a cloud a keyframe. Foxglove's own are below 110.
inline constexpr uint32_t keyframe_field = 1000;

/// A google.protobuf.FileDescriptorSet with the type of a stream's messages and all that it is made of: what tools decode
/// messages by which they do not know.
std::string descriptors_of(recording_stream what);

/// Whether these descriptors have the type tessera.Keyframe, so that clouds may be keyframes.
bool has_keyframes(std::string_view descriptors);

} // namespace tessera
