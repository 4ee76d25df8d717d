#pragma once

#include "messages/error.hpp"

#include <caf/all.hpp>

namespace tessera {

/// Whether an answer did not come because the actor that was asked is gone: its successor can be asked again.
inline bool is_peer_loss(const caf::error& err) {
  static const auto exits = caf::make_error(caf::exit_reason::kill).category();
  return err == caf::sec::request_receiver_down || err == ec::restarting || err.category() == exits;
}

} // namespace tessera
