#pragma once

#include "net/commands/progress.hpp"
#include "net/publishers/publish.hpp"
#include "net/sources/source_table.hpp"

#include <string>

namespace tessera {

/// What `tessera publish` is told.
struct publish_setup {
  std::string source, to;
  source_options input;
  publish_options output;
  /// Session of keyframes that name none; may be empty.
  std::string session;
  progress_style progress = progress_style::none;
};

/// Sends a source's keyframes to a service elsewhere until the source ends or a stop is asked for. Answers the exit code: 1 if
/// not one keyframe was delivered, or one was refused or not delivered.
int publish_command(const publish_setup& setup, std::stop_token stop);

} // namespace tessera
