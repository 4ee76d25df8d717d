#pragma once

#include "actors/supervision/service.hpp"
#include "gpu/map_settings.hpp"
#include "messages/keyframe_sink.hpp"
#include "net/server/client_address.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tessera {

class server_certificate;

/// How patient the server is with its clients, and with the actors it asks.
struct server_timeouts {
  /// For a TLS handshake, from the first byte on that is waited for.
  std::chrono::milliseconds handshake{10'000};
  /// For a whole request header, and between two requests of a connection.
  std::chrono::milliseconds idle{60'000};
  /// For each 64 KiB of a body, and each piece of an answer.
  std::chrono::milliseconds progress{30'000};
  /// For a whole body.
  std::chrono::milliseconds body{300'000};
  /// An answer that was begun so long ago may be ended when others wait for the memory that it takes, and it is read slowly.
  std::chrono::milliseconds slow_answer{10'000};
  /// A viewer that sends nothing for half of it is pinged, and after it dropped.
  std::chrono::milliseconds stream_idle{60'000};
  /// For an actor's answer.
  std::chrono::milliseconds ask{10'000};
  /// For clients to take their leave when the server stops.
  std::chrono::milliseconds stop{2'000};
};

/// What the server is told when it starts.
struct server_config {
  std::string bind = "127.0.0.1";
  uint16_t port = 8080, metrics_port = 8006; ///< 0: any that is free
  /// Asked of everyone who wants more than health checks and the pages themselves; empty: of nobody.
  std::string token;
  /// Lets others in without a token, and pages of other sites too.
  bool insecure = false;
  /// With which the main port speaks TLS; null: it does not.
  std::shared_ptr<server_certificate> certificate;
  /// Who is believed when it says for whom it asks.
  trusted_proxies proxies;
  /// Whose pages may show ours in a frame, as a Content-Security-Policy names them.
  std::string frame_ancestors = "'none'";
  uint32_t threads = 2;
  /// More than these are answered 503.
  uint32_t max_connections = 20'000;
  /// Largest body of a request, bytes.
  uint64_t body_limit = uint64_t{64} << 20;
  /// Answers that are still being sent, in bytes, beyond which no other is made: of actors and the map (status_shelf), as many
  /// again of pictures, and mesh files (mesh_shelf).
  uint64_t most_status_bytes = uint64_t{64} << 20, most_mesh_bytes = uint64_t{256} << 20;
  /// The map that the service makes.
  map_settings map;
  /// The map is not known yet: open() tells it. Until then there is an empty one, without viewers; keyframes are taken.
  bool map_comes_later = false;
  /// Makes a keyframe of a body of `POST /v1/keyframes`; throws an exception whose text is the reason why
  /// not. Called by one thread at a time.
  std::function<keyframe(std::string id, uint64_t timestamp_ns, std::vector<std::byte> body)> parse_keyframe;
  /// What keeps sources from bringing keyframes at the moment, in words; empty: nothing. Called by any thread. May be left out.
  std::function<std::string()> trouble;
  server_timeouts timeouts;
};

/// The HTTP server: pages, answers about the map, keyframes in, the stream to viewers, metrics
/// (docs/protocol.md).
///
/// Owns its threads. Must be stopped or destroyed before the service's actor system; `sink` must live longer,
/// and should be closed before stop(), which waits for offers under way.
class server {
public:
  /// Starts listening. Throws std::invalid_argument if others could reach it without a token,
  /// std::runtime_error if an address cannot be bound; both say what to do.
  server(caf::actor_system& system, const service& running, keyframe_sink& sink, server_config config);
  ~server();
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  /// Tells the map that was to come later, once, when the service of that map is in the seats that this server knows.
  void open(const map_settings& map, const session_config& session);

  /// Takes leave of all clients (viewers get code 1001), and ends all threads. Safe to call twice.
  void stop();

  /// The ports that it listens on.
  [[nodiscard]] uint16_t port() const;
  [[nodiscard]] uint16_t metrics_port() const;

private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

} // namespace tessera
