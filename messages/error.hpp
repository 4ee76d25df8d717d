#pragma once

#include <caf/error.hpp>
#include <caf/make_message.hpp>
#include <caf/message.hpp>

#include <cstdint>
#include <string>

namespace tessera {

/// What can go wrong between actors. `caf::make_error(ec::x, "what, where, what to do")` makes an error of it.
enum class ec : uint8_t {
  malformed = 1, ///< a message or archive that is truncated, corrupted or too long
  bad_keyframe,  ///< a keyframe out of bounds
  store_failed,  ///< the keyframe store's file could not be written or read
  out_of_memory, ///< the map may not grow: its memory cap is reached, or a GPU's memory is full
  no_memory,     ///< the process gets no more memory
  device_failed, ///< the device reported an error
  fields_lost,   ///< the device lost its fields for want of memory: no fault of what was asked
  torn,          ///< a keyframe's points changed while they were read
  rays_lost,     ///< what a device made for another one cannot be read any more: the one that made it failed
  restarting,    ///< the actor that was asked is being restarted; ask again
  closing,       ///< the service is shutting down
  timeout,       ///< an actor did not answer in time
  internal,      ///< a handler failed in a way that it should not
};

/// Whether what was asked is not done for want of memory, be it the map's or the process's: nothing was changed.
bool is_want_of_memory(const caf::error& err);

/// Says the kind of error in words.
std::string to_string(ec code);

/// Renders any error for a person: the kind in words, then its context. Needs no actor system.
std::string describe(const caf::error& err);

/// The context alone, without the kind, where an error of ours has one of words; else as describe().
std::string context_of(const caf::error& err);

} // namespace tessera

CAF_ERROR_CODE_ENUM(tessera::ec, "tessera")
