#pragma once

#include "messages/keyframe_sink.hpp"
#include "net/sources/amqp/amqp_url.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <unordered_set>

namespace tessera {

/// Settings of all publishers; each uses those that concern it.
struct publish_options {
  /// AMQP: the exchange, and the service's queue, which is made if no queue is bound to the exchange yet.
  std::string exchange = "slam3r_keyframe_exchange";
  std::string queue = "tessera";
  /// AMQP: for amqps://, where the address does not say it.
  amqp_tls amqp;
  /// AMQP: keyframes travel inside the messages instead of through shared memory.
  bool embed = false;
  /// AMQP: segments begin with this.
  std::string shm_prefix = "/slam3r_keyframe_";
  /// AMQP and shared memory: so many bytes of segments may lie there untaken; then offer() waits.
  uint64_t max_pending_bytes = uint64_t{256} << 20;
  /// HTTP: the service's token, if it asks for one, and the address does not say it.
  std::string token;
  /// A keyframe that the other side has not taken after so long stays with its source (`not_now`).
  std::chrono::seconds patience{30};
};

/// Sends the keyframes of any source to a service elsewhere. A verdict of `accepted` means that the broker,
/// the folder or the service has it. What cannot be delivered is tried again until `patience` is over or a stop is
/// asked for, which ends every wait; the log tells after a second what is wrong. offer() throws std::runtime_error, after its
/// `done`, if the broker turns the login away, or the user may not use the exchange or make the queue: nothing else would get
/// through.
///
/// Threads: any; one keyframe goes out at a time.
class publisher : public keyframe_sink {
public:
  struct counts {
    uint64_t published = 0;  ///< that are there because of this
    uint64_t duplicates = 0; ///< that were there already
    uint64_t dropped = 0;    ///< that the service let go, since newer ones were waiting
    uint64_t refused = 0, set_aside = 0;
    uint64_t undelivered = 0; ///< keyframes, or what is about many, that stayed with their source, and did not go out later
  };
  /// Where the keyframes go, for people; never holds a password.
  [[nodiscard]] virtual std::string where() const = 0;
  [[nodiscard]] counts so_far() const;
  /// Logs and counts it.
  void set_aside(const std::string& source, const std::string& what, const std::string& reason) override;

protected:
  /// Counts the verdict and passes it on.
  void finish(const keyframe_id& id, const completion& done, const verdict& v);
  /// The same of what is about many keyframes, and counts as one.
  void finish_many(const completion& done, const verdict& v);

private:
  mutable std::mutex mutex_;
  counts counts_; ///< without `undelivered`
  std::unordered_set<keyframe_id> undelivered_;
  uint64_t undelivered_many_ = 0; ///< what was about many keyframes
};

/// Makes the publisher that a URL names: `amqp://USER:PASSWORD@HOST:PORT/VHOST` (amqps:// for TLS), `shm:/PREFIX`,
/// `http://HOST:PORT` (or `http://HOST:PORT/?token=TOKEN`). Throws std::invalid_argument that lists these. Waiting ends when a
/// stop is asked for.
std::unique_ptr<publisher> make_publisher(const std::string& url, const publish_options& options, std::stop_token stop);

} // namespace tessera
