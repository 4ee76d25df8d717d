#pragma once

#include "net/base/descriptor.hpp"
#include "net/formats/mcap.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace tessera {

/// How many keyframes a recording has, and how many revisions and retractions.
struct recording_census {
  uint64_t keyframes = 0, changes = 0;
};

/// An MCAP file, read from its beginning on. A file that was cut off is read up to its last whole record, and one that is still
/// being written up to what is there.
///
/// Throws std::system_error for what the system does not let it do. Threads: one at a time.
class recording_file {
public:
  /// Throws std::runtime_error if it is no MCAP file of version 0, or no file.
  explicit recording_file(std::string path);
  [[nodiscard]] const std::string& path() const { return path_; }

  struct record {
    uint64_t offset = 0; ///< in the file
    mcap::opcode what{};
    std::string content; ///< empty if there is a fault
    std::string fault;   ///< why it cannot be used, though what follows can
  };
  /// The next record that messages come from: a chunk, schema, channel or message; others are passed over. Nothing at the end of
  /// the data section, or of what there is of it.
  std::optional<record> next();
  /// Begins at the beginning again.
  void rewind();
  /// After the end: how much of it is no whole record, in words; empty if the file has its end.
  [[nodiscard]] const std::string& cut() const { return cut_; }

  /// What the file's summary says of it, which may be wrong; or what is found by reading all of it, if it has none.
  [[nodiscard]] recording_census census();

private:
  std::optional<mcap::record_head> head();
  std::string content(uint64_t length);
  std::optional<recording_census> census_of_summary();
  recording_census counted();

  std::string path_;
  descriptor file_;
  uint64_t at_ = 0;    ///< of the next record
  uint64_t bytes_ = 0; ///< of the file, when it was last looked at
  std::string cut_;
};

} // namespace tessera
