#pragma once
// What is in a recording's messages: keyframes as foxglove.PointCloud with a field of our own, their cameras as
// foxglove.PoseInFrame for viewers, revisions and retractions as tessera.Revision and tessera.Retraction (docs/recordings.md).

#include "messages/map_input.hpp"
#include "net/formats/mcap.hpp"
#include "net/formats/recording_schemas.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// Where a message's record stands among the records that it was appended to.
struct message_place {
  recording_stream stream{};
  uint64_t offset = 0;
};

/// Append the records that define a stream.
void put_schema(std::string& records, recording_stream what);
void put_channel(std::string& records, recording_stream what);

/// Appends what is needed to read one input by itself: its definitions, and its messages. Answers where these are. `number`:
/// which input of the recording it is. Throws bad_input if the keyframe's arrays do not fit together, or it has more points
/// than max_keyframe_points.
std::vector<message_place> put_input(std::string& records, const map_input& what, uint32_t number, uint64_t log_ns);
/// The same of a move, of a keyframe or a group.
std::vector<message_place> put_move(std::string& records, const correction_entry& what, uint32_t number, uint64_t log_ns);

/// The keyframe in a foxglove.PointCloud, or nothing if the cloud is somebody else's. Its arrays are its own. Throws bad_input
/// that names the field, the value and the bound; so do the others.
std::optional<keyframe> read_keyframe(std::string_view message);
/// Of a keyframe or of a group; of the latter it has a number.
correction_entry read_move(std::string_view message);
retraction read_retraction(std::string_view message);

/// Knows which channels of a file, whoever wrote it, have what recordings are made of.
class recording_channels {
public:
  /// Takes a schema record's content, or a channel's. Throws bad_input.
  void take_schema(std::string_view content);
  void take_channel(std::string_view content);
  /// What a channel's messages are; nothing if they are none of ours, or there is no such channel.
  [[nodiscard]] std::optional<recording_stream> stream_of(uint16_t channel) const;

private:
  std::map<uint16_t, recording_stream> schemas_, channels_;
};

} // namespace tessera
