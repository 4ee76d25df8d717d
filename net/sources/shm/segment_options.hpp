#pragma once

#include "gpu/host/host_memory.hpp"
#include "net/formats/segment_header.hpp"

#include <cstdint>
#include <memory>

namespace tessera {

/// How segments of shared memory are read, whether they were found or notified of.
struct segment_options {
  /// Which way a header's pose is meant where both readings are possible.
  pose_layout layout = pose_layout::automatic;
  /// Segments are read into it, for GPUs; null: they are mapped, and read where their producer wrote them.
  std::shared_ptr<host_memory> memory;
  /// Threads that read segments beside the source's own, which may share one; as many segments are open at a time. With one the
  /// source reads alone, one after another.
  uint32_t readers = 1;
};

} // namespace tessera
