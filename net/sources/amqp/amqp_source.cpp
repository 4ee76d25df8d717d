#include "net/sources/amqp/amqp_source.hpp"

#include "net/base/backoff.hpp"
#include "net/base/side_call.hpp"
#include "net/sources/amqp/amqp_deliveries.hpp"
#include "net/sources/amqp/amqp_link.hpp"
#include "net/sources/shm/abandoned_segments.hpp"

#include <spdlog/spdlog.h>

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>

namespace tessera {

namespace {

using steady = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// After a stop: how long verdicts that are still to come are waited for.
constexpr auto farewell = milliseconds(1500);
/// How often exchange, queue and bindings are looked after: AMQP does not tell of a binding that somebody took away. As often
/// shared memory is rid of what producers left there half written.
constexpr auto care = seconds(5);

/// Keeps a link to the broker, and messages coming by it.
class amqp_source final : public source {
public:
  amqp_source(const std::string& url, const amqp_options& options, const segment_options& segments, shortage_listener on_shortage)
    : address_(parse_amqp_url(url, options.tls)), options_(options), segments_(segments), on_shortage_(std::move(on_shortage)) {
    if (options.prefetch < 1 || options.prefetch > 512)
      throw std::invalid_argument("prefetch is " + std::to_string(options.prefetch) + ", must be 1 to 512");
    options_.heartbeat_s = address_.heartbeat_s.value_or(options.heartbeat_s);
    if (options_.heartbeat_s < 1 || options_.heartbeat_s > 600)
      throw std::invalid_argument("heartbeat is " + std::to_string(options_.heartbeat_s) + " s, must be 1 to 600");
  }

  [[nodiscard]] std::string kind() const override { return amqp_kind; }
  [[nodiscard]] std::string where() const override { return address_.shown(); }
  [[nodiscard]] bool brings_changes() const override { return true; }
  [[nodiscard]] std::string trouble() const override {
    std::lock_guard lock(mutex_);
    return trouble_;
  }

  void run(keyframe_sink& sink, std::stop_token stop) override {
    stop_ = stop;
    desk_ = std::make_shared<errand_desk>();
    std::stop_callback wake(stop, [desk = desk_] { desk->ring.ring(); });
    const struct dismiss {
      std::optional<amqp_deliveries>& deliveries;
      ~dismiss() { deliveries.reset(); }
    } at_the_end{deliveries_};
    deliveries_.emplace(options_, segments_, on_shortage_, sink, stop, desk_);
    backoff pause(milliseconds(200), seconds(10));
    set_trouble("no connection yet");
    for (bool first = true; !stop.stop_requested(); first = false) {
      std::string problem;
      remove_abandoned_segments();
      try {
        if (!connect())
          break;
        listen(pause);
      } catch (const amqp_turned_away& e) {
        if (first)
          throw;
        problem = e.what();
      } catch (const amqp_error& e) {
        problem = e.what();
      } catch (const std::exception& e) {
        if (!is_shortage(e))
          throw;
        problem = text_of(e);
        if (on_shortage_)
          on_shortage_(problem);
      }
      if (stop.stop_requested())
        break;
      lose_link();
      if (problem.empty())
        continue;
      set_trouble(problem);
      auto delay = pause.next();
      spdlog::warn("amqp: {}; trying again in {:.1f} s", problem, std::chrono::duration<double>(delay).count());
      idle(steady::now() + delay);
    }
    say_farewell();
  }

private:
  /// Opens the link; false if a stop was asked for meanwhile.
  bool connect() {
    side_call<std::unique_ptr<amqp_link>> opening([address = address_, heartbeat = options_.heartbeat_s](const std::stop_token&) {
      return std::make_unique<amqp_link>(address, heartbeat);
    });
    while (!opening.wait_for(milliseconds(100), stop_)) {
      if (stop_.stop_requested())
        return false;
      deliveries_->act_on_results(); // verdicts still come in, and segments still go
    }
    link_ = opening.take();
    deliveries_->use(*link_);
    return true;
  }

  void lose_link() {
    deliveries_->lose_link();
    link_.reset();
  }

  void listen(backoff& pause) {
    const auto tick = milliseconds(options_.heartbeat_s * 250);
    backoff retry(milliseconds(500), care);
    auto due = steady::now();
    bool listening = false;
    while (!stop_.stop_requested()) {
      deliveries_->act_on_results();
      if (steady::now() >= due) {
        remove_abandoned_segments();
        const auto good = look_after(listening);
        if (good) {
          retry.reset();
          pause.reset();
        }
        due = steady::now() + (good ? care : retry.next());
      }
      while (auto message = link_->next())
        deliveries_->add(std::move(*message));
      if (listening && !link_->consuming()) {
        spdlog::warn("amqp: the broker gives nothing more of queue {}: it was deleted, or its node is down", options_.queue);
        listening = false;
        due = steady::now();
      }
      tell();
      if (!stop_.stop_requested()) // its ring may be quiet already: act_on_results() has heard it
        wait(link_->socket(), std::min(tick, until(deliveries_->next_due(due))));
    }
  }

  /// Sees to it that messages come: makes what is missing, and binds and consumes again. False if the broker will not have it.
  bool look_after(bool& listening) {
    std::stop_callback enough(stop_, [this] { link_->cut(); }); // a broker that is frozen answers nothing
    try {
      const auto queue = link_->ensure_queue(options_.queue);
      look_for_others(queue.consumers);
      if (!link_->consuming()) { // even if we may not bind it: somebody else may have
        deliveries_->expect_backlog(queue.messages);
        link_->consume(options_.queue, options_.prefetch);
      }
      if (link_->ensure_exchange(options_.exchange) && listening)
        spdlog::warn("amqp: exchange {} was gone, and is made again: what producers published meanwhile is lost, unless they "
                     "publish it again",
                     options_.exchange);
      for (const auto* key : keyframe_routing_keys)
        link_->bind(options_.queue, options_.exchange, key);
      if (!listening) {
        if (auto other = link_->other_exchange(options_.exchange); !other.empty())
          spdlog::warn("amqp: exchange {} is used as it is, with the routing keys keyframe.new, keyframe.revise and "
                       "keyframe.retract; producers that want a durable topic exchange will be refused: {}",
                       options_.exchange, other);
        listening = true;
        spdlog::info("amqp: listening on {}, exchange {}, queue {}", where(), options_.exchange, options_.queue);
      } else if (!denied_.empty()) {
        spdlog::info("amqp: exchange {} and queue {} are as they should be again", options_.exchange, options_.queue);
      }
      denied_.clear();
      return true;
    } catch (const amqp_denied& e) {
      if (denied_ != e.what())
        spdlog::warn("amqp: {}; trying again", e.what());
      denied_ = e.what();
      return false;
    }
  }

  /// Warns, once, of others who take from the same queue; `consumers`: all that it has.
  void look_for_others(uint32_t consumers) {
    const auto others = consumers - std::min(consumers, link_->consuming() ? 1u : 0u);
    if (others > 0 && !shares_)
      spdlog::warn("amqp: queue {} has {} other {}: the broker gives each of them a part of the keyframes, and nobody all; every "
                   "service needs a queue of its own (--queue)",
                   options_.queue, others, others == 1 ? "consumer" : "consumers");
    shares_ = others > 0;
  }

  /// How long it is until then, if it is not over.
  static milliseconds until(steady::time_point then) {
    return std::max(std::chrono::ceil<milliseconds>(then - steady::now()), milliseconds(0));
  }

  /// Waits with no connection; verdicts still come in, and segments still go.
  void idle(steady::time_point end) {
    while (!stop_.stop_requested()) {
      deliveries_->act_on_results();
      const auto left = until(end);
      if (left.count() == 0 || stop_.stop_requested())
        return;
      wait(-1, left);
    }
  }

  void wait(int socket, milliseconds longest) const {
    pollfd files[2] = {{desk_->ring.fd(), POLLIN, 0}, {socket, POLLIN, 0}}; // poll passes over a file of -1
    ::poll(files, 2, static_cast<int>(longest.count()));
  }

  /// After a stop: what the sink still answers is still acknowledged, so that it need not come again.
  void say_farewell() {
    deliveries_->stop_reading();
    try {
      for (const auto end = steady::now() + farewell; deliveries_->awaits_answers() && steady::now() < end;) {
        wait(link_ ? link_->socket() : -1, milliseconds(50));
        deliveries_->act_on_results();
        while (link_ && link_->next())
          ; // not ours any more
      }
      deliveries_->finish_now();
    } catch (const amqp_error& e) {
      spdlog::warn("amqp: {}; messages not yet acknowledged will come again", e.what());
    }
  }

  void set_trouble(std::string text) {
    std::lock_guard lock(mutex_);
    trouble_ = std::move(text);
  }

  /// Says in trouble() how things are.
  void tell() {
    set_trouble(!denied_.empty()      ? denied_
                : !link_->consuming() ? "queue " + options_.queue + " is not being consumed"
                                      : deliveries_->trouble());
  }

  const amqp_address address_;
  amqp_options options_;
  const segment_options segments_;
  const shortage_listener on_shortage_;

  // Of the thread of run().
  std::stop_token stop_;
  std::shared_ptr<errand_desk> desk_;
  std::unique_ptr<amqp_link> link_;
  std::optional<amqp_deliveries> deliveries_;
  std::string denied_;  ///< what the broker would not do with exchange or queue
  bool shares_ = false; ///< the queue had other consumers when it was looked at last

  mutable std::mutex mutex_;
  std::string trouble_;
};

} // namespace

std::unique_ptr<source> make_amqp_source(const std::string& url, const amqp_options& options, const segment_options& segments,
                                         shortage_listener on_shortage) {
  return std::make_unique<amqp_source>(url, options, segments, std::move(on_shortage));
}

} // namespace tessera
