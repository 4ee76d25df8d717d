#pragma once

#include "net/publishers/publish.hpp"

namespace tessera {

/// Posts keyframes to a service's `/v1/keyframes`, and retracts and revises them there, over one connection
/// that is kept. Asks again while the service is busy (429, 503) or away.
std::unique_ptr<publisher> make_http_publisher(const std::string& url, const publish_options& options, std::stop_token stop);

} // namespace tessera
