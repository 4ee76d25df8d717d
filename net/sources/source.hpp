#pragma once

#include "gpu/host/host_memory.hpp"
#include "messages/keyframe_sink.hpp"
#include "net/sources/amqp/amqp_url.hpp"
#include "net/formats/segment_header.hpp"
#include "net/base/shortage.hpp"
#include "net/sources/synthetic/synthetic_options.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

namespace tessera {

/// Something that brings keyframes in. It knows the sink it is given and nothing else of the system.
class source {
public:
  virtual ~source() = default;
  source() = default;
  source(const source&) = delete;
  source& operator=(const source&) = delete;
  /// shm, amqp, rgbd or synthetic; what `set_aside` is called with.
  [[nodiscard]] virtual std::string kind() const = 0;
  /// Where the keyframes come from, for people; never holds a password.
  [[nodiscard]] virtual std::string where() const = 0;
  /// Brings keyframes until the input ends or a stop is asked for; blocks. Throws std::runtime_error (what,
  /// where, what to do) if it cannot even start; bad input later is set aside. What `is_shortage` says is no fault of the input:
  /// run it again a little later, and nothing is lost. Ask the stop before the sink closes: what the sink refuses while a stop is
  /// asked for is neither acknowledged nor unlinked, so that it comes again.
  virtual void run(keyframe_sink& sink, std::stop_token stop) = 0;
  /// What keeps it from bringing keyframes at the moment though it runs, in words (a broker that is away, a queue that cannot be
  /// made); empty if nothing does. Threads: any.
  [[nodiscard]] virtual std::string trouble() const { return {}; }
  /// Number of keyframes that `run` will offer, if it is known.
  [[nodiscard]] virtual std::optional<uint64_t> total() const { return std::nullopt; }
};

/// Settings of all sources; each uses those that concern it.
struct source_options {
  /// At most so many keyframes; 0: no limit. Folders and synthetic scans.
  uint64_t limit = 0;
  /// Only every n-th frame, counted before `limit`; 1: all. Folders and synthetic scans.
  uint32_t every = 1;
  /// Offers the chosen keyframes in an order drawn from this seed. Which ones are chosen does not change.
  std::optional<uint64_t> shuffle;
  /// Keyframes per second; 0: as fast as the sink takes them. Folders and synthetic scans.
  double rate = 0;
  /// No keyframe but the first is offered later than so long after the beginning; 0: no limit. Folders and
  /// synthetic scans.
  double seconds = 0;
  /// Threads that decode or make the next keyframes ahead; 0: none, all in the thread of `run`.
  uint32_t prefetch_threads = 1;
  /// Hears what is wanting for an input to be read, which is then tried again until it works. None: such a thing is thrown by a
  /// source that offers what it names once, since what it goes on without would be missed in the result.
  shortage_listener on_shortage;

  /// RGB-D: depths beyond this are left out, metres.
  float max_depth_m = 4;
  /// RGB-D: how many of a depth image's units are a metre.
  float depth_scale = 1000;

  /// Segments must begin with this; nothing else is ever opened.
  std::string shm_prefix = "/slam3r_keyframe_";
  /// Unlinks a segment once its keyframe is safe or refused, whether it was notified of or found by watching:
  /// shared memory is memory, and producers leave it to the consumer. What is found and fits no header stays:
  /// it may be somebody else's file.
  bool unlink = true;
  /// Which way a header's pose is meant where both readings are possible.
  pose_layout layout = pose_layout::automatic;
  /// A watched segment that its producer keeps open counts once it fits its header and has not changed for so
  /// long, milliseconds.
  uint32_t settle_ms = 100;

  /// AMQP: the topic exchange, and the queue that is bound to it.
  std::string exchange = "slam3r_keyframe_exchange";
  std::string queue = "tessera";
  /// AMQP: keyframes under way at once, 1 to 512.
  uint16_t prefetch = 16;
  /// AMQP: gives refused messages back to the broker's dead letter exchange instead of acknowledging them.
  bool dead_letter = false;
  /// AMQP: a broker that is silent for twice as long is taken for gone, seconds.
  uint16_t heartbeat_s = 10;
  /// AMQP: for amqps://, where the address does not say it.
  amqp_tls amqp;

  /// Segments are read into it, for GPUs; null: they are mapped, and read where their producer wrote them.
  std::shared_ptr<host_memory> memory;
  /// Threads that read segments beside the source's own, which may share one; as many segments are open at a time. With one the
  /// source reads alone, one after another.
  uint32_t segment_readers = 1;

  synthetic_options synthetic;
};

/// Makes the source that a SOURCE argument names: `synthetic:room`, `synthetic:building`, `rgbd:DIR`,
/// `shm:/PREFIX`, `amqp://USER:PASSWORD@HOST:PORT/VHOST` (amqps:// for TLS). Throws std::invalid_argument that lists the known
/// kinds.
std::unique_ptr<source> make_source(const std::string& uri, const source_options& options);

} // namespace tessera
