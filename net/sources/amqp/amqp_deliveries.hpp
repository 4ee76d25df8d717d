#pragma once

#include "net/sources/amqp/amqp_errands.hpp"
#include "net/sources/amqp/amqp_link.hpp"
#include "net/sources/amqp/amqp_reader.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

namespace tessera {

/// The messages that the broker gave, from their delivery to their acknowledgement: has the reader try each, and tells the broker
/// what came of it; what cannot be taken now is tried again after a pause.
///
/// Threads: the connection's.
class amqp_deliveries {
public:
  /// Throws as amqp_reader.
  amqp_deliveries(const amqp_options& options, const segment_options& segments, const shortage_listener& on_shortage,
                  keyframe_sink& sink, std::stop_token stop, const std::shared_ptr<errand_desk>& desk);

  /// From now on messages come by this link, and are acknowledged by it.
  void use(amqp_link& link);
  /// So many messages lay in the queue before we began to consume it: they come first.
  void expect_backlog(uint64_t messages) { backlog_ = messages; }
  /// The link is gone: the broker gives again all that was not acknowledged.
  void lose_link();
  /// One message more.
  void add(amqp_delivery message);
  /// Acts on the results that have come in, and on what is due. Throws amqp_error, and std::runtime_error if the sink failed.
  void act_on_results();
  /// When something is due, if it is before `latest`; else that.
  [[nodiscard]] errand::clock::time_point next_due(errand::clock::time_point latest) const;
  /// Why messages wait that should not, in words; empty if none does.
  [[nodiscard]] std::string trouble() const;

  // At the end.

  /// Begins with no message any more.
  void stop_reading() { reader_.request_stop(); }
  /// Whether the sink, or who clears segments away, has not answered yet.
  [[nodiscard]] bool awaits_answers() const { return desk_->offered > 0 || clearing_ > 0; }
  /// Acts on the results that are there, with nothing left to others. Throws as act_on_results().
  void finish_now();

private:
  bool judge(errand_result& r);
  void finish(const errand_result& r);
  void answer(const errand_result& r);
  void keep(errand_result& r);
  void bound_doubt();
  void try_again();
  [[nodiscard]] bool came_by_this_link(const errand& e) const { return link_ != nullptr && e.link == link_number_; }

  const amqp_options options_;
  keyframe_sink& sink_;
  const std::stop_token stop_;
  const std::shared_ptr<errand_desk> desk_;
  amqp_reader reader_;
  amqp_link* link_ = nullptr;
  uint64_t link_number_ = 0;
  uint64_t backlog_ = 0;             ///< messages that are still to come of those that lay in the queue
  std::vector<errand_result> held_;  ///< to be tried again
  size_t clearing_ = 0;              ///< errands whose segment is on its way out
  bool leaving_ = false;             ///< what is over is over at once
  errand::clock::time_point told_{}; ///< when it was last logged that something must wait
};

} // namespace tessera
