#pragma once
// The ends of RocksDB's logs: cut off, or damaged where RocksDB takes it for that.

#include <optional>
#include <string>

namespace tessera {

/// The first log in a folder in whose last block a record's length is damaged, if there is one. A record that claims more bytes
/// than are there is what a write leaves that was cut off: RocksDB passes it over in silence, and all that follows it. But if it
/// is whole under the length that is there, or whole records follow, all of it had been written, and perhaps been promised.
/// Throws std::system_error if a log cannot be read.
[[nodiscard]] std::optional<std::string> log_with_damaged_end(const std::string& folder);

} // namespace tessera
