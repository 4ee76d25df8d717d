#pragma once

#include <caf/fwd.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>

namespace tessera {

/// Why something cannot be done now, through no fault of what was asked: it stays with its sender (outcome::not_now).
enum class hindrance : uint8_t {
  store,      ///< the keyframe store's file cannot be written or read: the disk is full, most likely
  memory,     ///< the process gets no memory
  room,       ///< the map may not grow: the memory cap is reached, or the GPUs' pools are full
  input,      ///< a source has no descriptor, thread or memory to read with
  slow,       ///< an actor did not answer in time
  torn,       ///< the points changed while they were read
  restarting, ///< an actor is being started again
  closing,    ///< the service is shutting down
  internal,   ///< a handler failed in a way that it should not
};
inline constexpr size_t hindrances = 9;

/// The name, as a metric's label.
const char* to_string(hindrance what);

/// A hindrance, and what a person is told of it.
struct hindered {
  hindrance why = hindrance::internal;
  std::string text;
};

/// Whether the service is short of something, so that what comes next will most likely meet the same. The others pass.
constexpr bool is_shortage(hindrance what) {
  return what <= hindrance::slow;
}

/// What an error that came instead of an answer means.
hindered hindered_by(const caf::error& err);

/// What an exception of the store, or of what is done with its rays, means.
hindered hindered_by(const std::exception_ptr& thrown);

} // namespace tessera
