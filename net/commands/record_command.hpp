#pragma once

#include "net/commands/progress.hpp"
#include "net/formats/mcap_chunk.hpp"
#include "net/sources/source_table.hpp"

#include <stop_token>
#include <string>
#include <vector>

namespace tessera {

/// What `tessera record` is told.
struct record_setup {
  std::vector<std::string> sources;
  std::string file;
  source_options input;
  mcap::packing packing = mcap::packing::none;
  progress_style progress = progress_style::none;
};

/// Records what the sources bring until they end or a stop is asked for, and says how much that was. What a map would refuse is
/// not recorded. Answers the exit code: 1 if a source failed, something was refused, or nothing came of sources that ended.
/// Throws as make_source() and recorder; std::runtime_error if the file takes no more.
int record_command(const record_setup& setup, std::stop_token stop);

} // namespace tessera
