#pragma once

#include "net/base/shortage.hpp"
#include "net/sources/shm/segment_options.hpp"
#include "net/sources/source.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace tessera {

struct shm_options {
  /// Unlinks a segment once its keyframe is safe or refused: shared memory is memory, and producers leave it to the consumer.
  /// What fits no header stays: it may be somebody else's file.
  bool unlink = true;
  /// A segment that its producer keeps open counts once it fits its header and has not changed for so long, milliseconds.
  uint32_t settle_ms = 100;
  /// A segment that fits no header, or is not all written, for so long is taken for what it is, milliseconds: set aside, or read.
  uint32_t patience_ms = 3000;
};

/// Takes keyframes from shared memory without a broker: every segment whose name begins with `prefix`, those
/// that are there at the start first (oldest first).
///
/// A segment counts once its size fits its header and it was closed or renamed by its writer; or, if the
/// writer keeps it open, once all of it has been written and it has not changed for `settle_ms`. Its id is
/// its name after the prefix. When a name comes back with other content than it had first, that is another
/// keyframe: its id has `@` and 16 hex digits of the content's digest after the name. The same content under
/// the same name is the same keyframe again. A writer that changes a segment in place through a mapping which
/// it never closes is not noticed, unless it does so before the name is unlinked: it should write anew and rename.
///
/// Segments are read by `segment_options::readers` threads, ahead if it is more than one, and offered in the order in which they
/// came. `on_shortage` hears what is wanting for one to be read, which is then tried again until it works.
///
/// With the option `unlink` a segment is taken away when its keyframe is safe or refused. One that fits no
/// header is set aside and stays.
std::unique_ptr<source> make_shm_watch(const std::string& prefix, const shm_options& options, const segment_options& segments,
                                       shortage_listener on_shortage);

} // namespace tessera
