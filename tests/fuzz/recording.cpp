// The records of an MCAP chunk, or a chunk itself.

#include "net/base/bad_input.hpp"
#include "net/formats/mcap_chunk.hpp"
#include "net/formats/recorded_input.hpp"
#include "net/formats/segment_header.hpp"
#include "require.hpp"

using namespace tessera;

namespace {

void read_message(const recording_channels& channels, const mcap::message& message) {
  const auto stream = channels.stream_of(message.channel_id);
  if (stream == recording_stream::keyframes) {
    if (const auto frame = read_keyframe(message.data)) {
      const auto& body = *frame->body;
      require(body.size() <= max_keyframe_points && body.colours().size() == body.size() * body.channels());
      require(body.confidence().empty() || body.confidence().size() == body.size());
      require(!frame->id.value.empty());
    }
  } else if (stream == recording_stream::revisions) {
    const auto moves = read_move(message.data);
    require(moves.group.empty() != moves.id.value.empty());
  } else if (stream == recording_stream::retractions) {
    require(!read_retraction(message.data).id.value.empty());
  }
}

void read_records(std::string_view records, int depth) {
  recording_channels channels;
  while (!records.empty())
    try {
      const auto one = mcap::take_record(records);
      if (one.what == mcap::opcode::schema)
        channels.take_schema(one.content);
      else if (one.what == mcap::opcode::channel)
        channels.take_channel(one.content);
      else if (one.what == mcap::opcode::message)
        read_message(channels, mcap::read_message(one.content));
      else if (one.what == mcap::opcode::statistics)
        (void)mcap::read_statistics(one.content);
      else if (one.what == mcap::opcode::footer)
        (void)mcap::read_footer(one.content);
      else if (const auto is_chunk = one.what == mcap::opcode::chunk; is_chunk && depth == 0)
        if (const auto chunk = mcap::read_chunk(one.content); chunk.unpacked_bytes < (1u << 20)) // the fuzzer has little memory
          read_records(mcap::unpack(chunk), 1);
    } catch (const bad_input& e) {
      require(e.what()[0] != '\0');
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  read_records({reinterpret_cast<const char*>(data), size}, 0);
  return 0;
}
