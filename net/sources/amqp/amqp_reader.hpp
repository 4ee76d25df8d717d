#pragma once

#include "messages/keyframe_sink.hpp"
#include "net/base/shortage.hpp"
#include "net/sources/amqp/amqp_errands.hpp"
#include "net/sources/amqp/amqp_source.hpp"
#include "net/sources/shm/segment_crew.hpp"
#include "net/sources/shm/segment_options.hpp"

#include <deque>
#include <memory>
#include <optional>
#include <thread>

namespace tessera {

/// Understands messages, reads their segments, and offers their keyframes to the sink; each attempt's result goes to the desk.
/// Also clears segments away.
///
/// Threads: the connection's, but for the work itself, which has a thread of its own: heartbeats go on while the sink gives no
/// credit.
class amqp_reader {
public:
  /// Throws std::system_error if there can be no thread.
  amqp_reader(const amqp_options& options, const segment_options& segments, shortage_listener on_shortage, keyframe_sink& sink,
              std::shared_ptr<errand_desk> desk);

  /// Has an errand tried.
  void put(errand_ptr e) { queue_.put(std::move(e)); }
  /// An errand is over: what waited for it may go.
  void release(const errand_ptr& e);
  /// Takes out those that must come after an errand, in their order.
  std::deque<errand_ptr> take_behind(const errand& e);
  /// Drops what it has not begun.
  void drop_all();
  /// Begins nothing any more.
  void request_stop() { thread_.request_stop(); }

  /// The segment of an errand that is over goes, here and now.
  void clear(errand& e) const;
  /// ... in a thread of the crew; then the result is on the desk, cleared.
  void clear_away(const errand_result& r);
  /// Waits until all that was to be cleared away is.
  void clear_all() { crew_.clear_all(); }

private:
  bool attempted(const errand_ptr& e);
  void work(const errand_ptr& e);
  void understand(errand& e) const;
  keyframe open(errand& e);
  void hand_over(const errand_ptr& e, std::optional<keyframe> frame);
  void give(const errand& e, std::optional<keyframe> frame, keyframe_sink::completion done);

  const amqp_options options_;
  const segment_options segments_;
  const shortage_listener on_shortage_;
  keyframe_sink& sink_;
  const std::shared_ptr<errand_desk> desk_;
  errand_queue queue_;
  errand_lanes lanes_;
  segment_crew crew_;
  std::jthread thread_; ///< last: joined before the rest goes
};

} // namespace tessera
