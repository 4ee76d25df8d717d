#pragma once

#include "actors/base/actor_context.hpp"
#include "actors/intake/input_policy.hpp"
#include "actors/intake/keyframe_check.hpp"
#include "actors/map/placement.hpp"
#include "actors/regions/encoder.hpp"
#include "actors/regions/encoder_pool.hpp"
#include "actors/store/keyframe_store.hpp"
#include "actors/supervision/seat.hpp"
#include "actors/viewers/session.hpp"
#include "gpu/fields.hpp"
#include "messages/actors.hpp"
#include "messages/keyframe_sink.hpp"

#include <chrono>

namespace tessera {

/// Everything that a service is told when it starts.
struct service_config {
  map_settings map;
  /// Regions and keyframes that the CPU's fields work on at once, and surfaces that are encoded at once.
  uint32_t threads = 2;
  /// GPUs that hold the fields, each its share of the regions; most_shares at most. None, or when all have failed: the CPU. They
  /// answer in threads of their own: whoever starts the service holds on to them until it has ended, and lets go of them then.
  std::vector<std::shared_ptr<async_fields>> gpus;
  /// Cap of the memory of the CPU's fields, bytes; 0: none. A keyframe that does not fit is not taken, as a whole: not now.
  uint64_t device_bytes = 0;
  /// Rays kept in memory, bytes; beyond it the oldest go to a file in `store_folder` (empty: the system's folder for temporary
  /// files).
  uint64_t store_bytes = uint64_t{256} << 20;
  std::string store_folder;
  /// Keyframes under way at once, for each device that holds the map.
  uint32_t credit = 8;
  input_policy policy = input_policy::block;
  keyframe_limits limits;
  /// Least time between two patches of a region; 0: as fast as it goes.
  std::chrono::milliseconds patch_interval{0};
  /// How long an actor waits for another's answer; but for a device's, which comes or the device ends.
  std::chrono::milliseconds request_timeout{120'000};
  encoder_function encode;
  /// Names this run; empty: a random name.
  std::string epoch;
  /// How the CPU's fields are made, and where keyframes are kept. Tests put others here.
  std::function<std::shared_ptr<async_fields>(const map_settings&, const cpu_options&)> make_cpu = make_cpu_fields;
  std::function<std::shared_ptr<keyframe_store>()> make_store;
  log_function log;
  /// Called once, with the reason, when an actor is lost that cannot be started again: the service must end. From any thread;
  /// must not block.
  std::function<void(const std::string&)> on_lost;
  /// Runs the partitioner, through which everything goes, the keyframe store's disk work, the CPU's fields and the encoders in
  /// threads of their own. Off under a test scheduler: then surfaces wait in `service::encoders` until the test has them encoded.
  bool own_threads = true;
};

/// Keyframes that a service has under way at once.
uint32_t credit_of(const service_config& config);

/// A running service: where the actors are found that the outside talks to (an actor that died has a successor), and what they
/// measure.
struct service {
  seat<ingest_actor> ingest;
  seat<partitioner_actor> partitioner;
  seat<supervisor_actor> supervisor;
  seat<broadcaster_actor> broadcaster;
  seat<inspector_actor> inspector;
  seat<placement_actor> placement;
  seat<device_table> devices;
  /// Registry, telemetry and log: shared with every actor, sessions too.
  actor_context context;
  std::string epoch;
  /// Ended by stop_service(). Its last owner waits for its threads: let no actor be that.
  std::shared_ptr<encoder_pool> encoders;
  std::shared_ptr<keyframe_store> store; ///< likewise
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
