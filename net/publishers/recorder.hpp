#pragma once

#include "messages/keyframe_sink.hpp"
#include "net/base/descriptor.hpp"
#include "net/formats/mcap_chunk.hpp"
#include "net/formats/recorded_input.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace tessera {

struct recorder_options {
  /// How what is recorded is compressed.
  mcap::packing packing = mcap::packing::none;
  /// Says why an input is not recorded, or returns an empty string. Empty: everything is that can be written.
  std::function<std::string(const map_input&)> check;
  std::function<std::string(const correction&)> check_many;
  /// Called when the file takes no more, and everything from then on stays with its source: close() throws what it was. From any
  /// thread.
  std::function<void()> on_failure;
};

/// Writes what sources bring into a recording (docs/recordings.md). Each input is a chunk of its own with all that is needed to
/// read it, so that a file that is cut off, or damaged in one place, lacks what stood there and nothing else. `accepted` means
/// that the system has it: a killed process loses nothing, a machine without power what it had not written to the disk.
///
/// Threads: any.
class recorder final : public keyframe_sink {
public:
  struct counts {
    uint64_t keyframes = 0, changes = 0; ///< recorded
    uint64_t refused = 0, set_aside = 0;
    uint64_t bytes = 0; ///< of the file
  };
  /// Makes the file. Throws std::system_error, also if it is there already.
  recorder(const std::string& file, recorder_options options);

  void offer(map_input what, completion done) override;
  /// Writes the moves one after the other, those of keyframes first, which comes to the same.
  void correct(correction what, completion done) override;
  void set_aside(const std::string& source, const std::string& what, const std::string& reason) override;
  [[nodiscard]] counts so_far() const;
  /// Ends the file, and waits until the disk has it. Throws std::runtime_error if that, or writing before, failed; what was
  /// recorded until then can be read nevertheless.
  void close();

private:
  struct chunk_entry {
    uint64_t log_ns = 0, offset = 0, length = 0, index_length = 0, packed_bytes = 0, unpacked_bytes = 0;
    std::vector<std::pair<recording_stream, uint64_t>> index_offsets;
  };
  /// Calls `write_it`, which answers with a verdict, unless the file takes no more.
  template <class F>
  void if_open(F write_it, const completion& done);
  verdict record(const map_input& what);
  verdict record(correction what);
  verdict write_input(std::string& records, const std::vector<message_place>& places, uint64_t log_ns);
  [[nodiscard]] uint64_t next_log_ns() const;
  void write_chunk(const std::string& records, const std::vector<message_place>& places, uint64_t log_ns);
  [[nodiscard]] std::string summary() const;
  /// All of these, or nothing of them.
  void write(std::initializer_list<std::string_view> parts);

  const std::string path_;
  const recorder_options options_;
  mutable std::mutex mutex_;
  descriptor file_;
  counts counts_;
  std::vector<chunk_entry> chunks_; ///< about a hundred bytes for each input
  std::array<uint64_t, all_recording_streams.size()> messages_{};
  uint64_t first_ns_ = 0, last_ns_ = 0;        ///< log times
  std::chrono::steady_clock::time_point last_; ///< when the last one was written
  std::string failure_;
};

} // namespace tessera
