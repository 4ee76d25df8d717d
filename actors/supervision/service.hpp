#pragma once

#include "actors/base/actor_context.hpp"
#include "actors/regions/encoder_pool.hpp"
#include "actors/supervision/core_seats.hpp"
#include "actors/supervision/service_config.hpp"
#include "actors/supervision/watchdog.hpp"
#include "actors/viewers/session.hpp"
#include "messages/actors.hpp"
#include "messages/keyframe_sink.hpp"

#include <chrono>

namespace tessera {

/// A running service: where the actors are found that the outside talks to (an actor that died has a successor), and what they
/// measure.
struct service : core_seats {
  seat<supervisor_actor> supervisor;
  /// Registry, telemetry and log: shared with every actor, sessions too.
  actor_context context;
  std::string epoch;
  /// Ended by stop_service(). Its last owner waits for its threads, so that must be no actor.
  std::shared_ptr<encoder_pool> encoders;
  std::shared_ptr<keyframe_store> store; ///< likewise
  std::shared_ptr<told_surfaces> told;   ///< likewise; null: there is none
  std::shared_ptr<watchdog> watch;       ///< ended by stop_service()
  session_config session;                ///< what sessions of this map are started with
  /// All but the supervisor that must end with the service, in the order in which they are told to. Ask when the supervisor has
  /// ended.
  [[nodiscard]] std::vector<caf::strong_actor_ptr> actors() const;
  /// Lets go of all actors, here and in all copies.
  void forget();
};

/// What a service is before it is started, when its map may not even be known: its log, its numbers, its epoch, and seats in
/// which nobody sits.
service announce_service(const service_config& config);

/// Makes what keeps the keyframes of such a service. Throws std::system_error if the store's folder cannot be written.
std::shared_ptr<keyframe_store> make_keyframe_store(const service_config& config);

/// Starts all actors of one node, in the seats of the announced one. Throws std::invalid_argument for a bad configuration,
/// std::system_error if the store's folder cannot be written.
service start_service(caf::actor_system& system, const service_config& config, service announced);
inline service start_service(caf::actor_system& system, const service_config& config) {
  return start_service(system, config, announce_service(config));
}

/// Ends all actors of the service and waits until they are gone, `timeout` at most; then ends the encoders, and
/// the store when it has done what it was asked, however slow the disk is. Answers whether the actors are gone.
bool stop_service(caf::actor_system& system, service& running, std::chrono::milliseconds timeout = std::chrono::seconds{10});

/// Where sources put their keyframes: hands them to ingest, blocks while `credit` of them are unanswered. Threads: any.
class ingest_sink : public keyframe_sink {
public:
  /// From now on every offer is answered `not_now` at once, and those that wait for credit return. What is under way is still
  /// answered.
  virtual void close() = 0;
  /// Waits until all that was offered has been answered, `timeout` at most; answers whether it has.
  virtual bool drain(std::chrono::milliseconds timeout) = 0;
};

/// Makes a sink in front of the service's ingest. It closes by itself when ingest ends; destroying it closes it and answers what
/// is still under way with `not_now`.
std::unique_ptr<ingest_sink> make_ingest_sink(caf::actor_system& system, const service& running, uint32_t credit);

} // namespace tessera
