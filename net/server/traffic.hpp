#pragma once

#include "actors/base/time_histogram.hpp"
#include "net/server/http_target.hpp"

#include <array>
#include <atomic>
#include <cstdint>

namespace tessera {

/// What the server counts of its clients. Threads: any.
struct traffic {
  using counter = std::atomic<uint64_t>;
  static constexpr size_t resources = static_cast<size_t>(resource::nothing) + 1;
  static constexpr size_t classes = 5; ///< of status codes: 1xx to 5xx

  std::array<std::array<counter, classes>, resources> requests{};
  time_histogram request_time; ///< from a request's header to the answer's last byte
  counter received_bytes{0};   ///< bodies of requests
  counter answered_bytes{0};   ///< bodies of answers
  counter bad_requests{0};     ///< what was not HTTP
  counter rejected{0};         ///< connections beyond the limit
  counter accept_errors{0};
  counter bad_handshakes{0};           ///< connections that ended before their TLS handshake did
  std::atomic<int64_t> connections{0}; ///< viewers among them
  std::atomic<int64_t> viewers{0};
  std::atomic<int64_t> under_way{0}; ///< requests whose header is there, and whose answer has not begun
  counter stream_bytes{0};           ///< to viewers: patches and text
  counter stream_errors{0};          ///< frames from viewers that were not understood

  void count(resource what, unsigned status) {
    auto kind = status >= 100 && status < 600 ? status / 100 - 1 : 4;
    requests[static_cast<size_t>(what)][kind].fetch_add(1, std::memory_order_relaxed);
  }
};

} // namespace tessera
