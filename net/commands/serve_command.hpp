#pragma once

#include "actors/supervision/service.hpp"
#include "net/commands/auto_voxel.hpp"
#include "net/commands/choose_backend.hpp"
#include "net/commands/serve_journal.hpp"
#include "net/server/server.hpp"
#include "net/sources/source_table.hpp"

#include <optional>
#include <string>
#include <vector>

namespace tessera {

class stop_signal;

/// What `tessera serve` is told.
struct serve_setup {
  /// SOURCEs of the command line. None: a broker if `amqp_url` is set; else keyframes come over HTTP alone.
  std::vector<std::string> sources;
  std::string amqp_url;
  source_options input;
  service_config service;
  server_config server;
  /// Given: the voxel size is to be derived from the first good keyframe, and what follows from it.
  std::optional<auto_voxel> voxel;
  journal_setup journal;
  /// Threads that actors run on.
  uint32_t threads = 1;
  /// Which devices do the work.
  backend_setup backend;
  /// Actors to kill and GPUs to break on purpose; see drill.
  std::string drill;
};

/// Runs the service until a stop is asked for. Answers the exit code: 0, or 1 if a source that was named could not start, or if
/// an actor was lost that cannot be started again.
int serve_command(serve_setup setup, stop_signal& stop);

/// What the service does at SIGHUP: reads its certificate again, and logs what came of it. Null: there is none.
void read_certificate_again(server_certificate* certificate) noexcept;

} // namespace tessera
