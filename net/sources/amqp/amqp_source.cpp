#include "net/sources/amqp/amqp_source.hpp"

#include "net/base/backoff.hpp"
#include "net/base/bad_input.hpp"
#include "net/base/not_now_error.hpp"
#include "net/base/shortage.hpp"
#include "net/base/side_call.hpp"
#include "net/base/utf8.hpp"
#include "net/sources/amqp/amqp_errands.hpp"
#include "net/sources/amqp/amqp_link.hpp"
#include "net/sources/shm/abandoned_segments.hpp"
#include "net/sources/shm/segment_crew.hpp"
#include "net/sources/shm/segment_keyframe.hpp"

#include <spdlog/spdlog.h>

#include <poll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <iterator>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

namespace tessera {

namespace {

using steady = errand::clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// After a stop: how long verdicts that are still to come are waited for.
constexpr auto farewell = milliseconds(1500);
/// How often exchange, queue and bindings are looked after: AMQP does not tell of a binding that somebody took away. As often
/// shared memory is rid of what producers left there half written.
constexpr auto care = seconds(5);
/// How long a segment may be missing, or be written to, before its message is set aside.
constexpr auto doubt_limit = seconds(6);
/// The broker takes a message back, and the whole channel with it, that is not acknowledged for its consumer_timeout, which is 30
/// minutes unless set otherwise: so it gets it back before, and gives it again.
constexpr auto keep_limit = std::chrono::minutes(10);
/// What hinders for so long is told to whoever asks whether we are ready.
constexpr auto passing = seconds(1);
/// The same trouble is logged again after so long.
constexpr auto silence = seconds(30);

/// Pauses between the tries of one errand: doubled each time.
milliseconds pause_after(unsigned tries, obstacle why) {
  const auto [first, most]
    = why == obstacle::doubt ? std::pair{milliseconds(20), milliseconds(500)} : std::pair{milliseconds(200), milliseconds(5000)};
  return std::min(first * (1 << std::min(tries, 10u)), most);
}

/// Content types know no case, and what follows a semicolon is about it.
bool is_type(std::string_view given, std::string_view wanted) {
  given = given.substr(0, given.find(';'));
  while (given.ends_with(' '))
    given.remove_suffix(1);
  const auto small = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(given, wanted, {}, small, small);
}

std::string name_of(const errand& e) {
  const auto& m = e.message;
  return "message " + printable(m.routing_key)
         + (e.understood           ? " of " + printable(shown(e.note.id), 300)
            : m.message_id.empty() ? std::string{}
                                   : " " + printable(m.message_id));
}

/// The text of a header of the message; empty if there is none.
std::string header_text(const amqp_delivery& message, const char* name) {
  for (const auto& header : message.headers)
    if (header.name == name) {
      if (!header.text)
        throw bad_input("the header " + header.name + " is no text");
      return *header.text;
    }
  return {};
}

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

  [[nodiscard]] std::string kind() const override { return "amqp"; }
  [[nodiscard]] std::string where() const override { return address_.shown(); }
  [[nodiscard]] std::string trouble() const override {
    std::lock_guard lock(mutex_);
    return trouble_;
  }

  void run(keyframe_sink& sink, std::stop_token stop) override {
    sink_ = &sink;
    stop_ = stop;
    desk_ = std::make_shared<errand_desk>();
    clearing_ = 0;
    leaving_ = false;
    std::stop_callback wake(stop, [desk = desk_] { desk->ring.ring(); });
    const struct dismiss {
      std::optional<segment_crew>& crew;
      ~dismiss() { crew.reset(); }
    } at_the_end{crew_}; // after the reader
    crew_.emplace(segments_.readers, [] {});
    std::jthread reader([this](const std::stop_token& enough) {
      while (auto e = queue_.take(enough))
        work(e);
    });
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
        lacking(problem);
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
    reader.request_stop();
    say_farewell();
  }

private:
  // -- The connection's thread ------------------------------------------------

  /// Opens the link; false if a stop was asked for meanwhile.
  bool connect() {
    side_call<std::unique_ptr<amqp_link>> opening([address = address_, heartbeat = options_.heartbeat_s](const std::stop_token&) {
      return std::make_unique<amqp_link>(address, heartbeat);
    });
    while (!opening.wait_for(milliseconds(100), stop_)) {
      if (stop_.stop_requested())
        return false;
      settle(); // verdicts still come in, and segments still go
    }
    link_ = opening.take();
    ++link_number_;
    return true;
  }

  void lose_link() {
    link_.reset();
    queue_.take_all(); // the broker gives all again
    held_.clear();
    lanes_.clear();
  }

  void listen(backoff& pause) {
    const auto tick = milliseconds(options_.heartbeat_s * 250);
    backoff retry(milliseconds(500), care);
    auto due = steady::now();
    bool settled = false;
    while (!stop_.stop_requested()) {
      settle();
      if (steady::now() >= due) {
        remove_abandoned_segments();
        const auto good = look_after(settled);
        if (good) {
          retry.reset();
          pause.reset();
        }
        due = steady::now() + (good ? care : retry.next());
      }
      while (auto message = link_->next()) {
        auto e = std::make_shared<errand>();
        e->link = link_number_;
        e->message = std::move(*message);
        queue_.put(std::move(e));
      }
      if (settled && !link_->consuming()) {
        spdlog::warn("amqp: the broker gives nothing more of queue {}: it was deleted, or its node is down", options_.queue);
        settled = false;
        due = steady::now();
      }
      tell();
      if (!stop_.stop_requested()) // its ring may be quiet already: settle() has heard it
        wait(link_->socket(), std::min(tick, next_due(due)));
    }
  }

  /// Sees to it that messages come: makes what is missing, and binds and consumes again. False if the broker will not have it.
  bool look_after(bool& settled) {
    std::stop_callback enough(stop_, [this] { link_->cut(); }); // a broker that is frozen answers nothing
    try {
      link_->ensure_queue(options_.queue);
      if (!link_->consuming()) // even if we may not bind it: somebody else may have
        link_->consume(options_.queue, options_.prefetch);
      link_->ensure_exchange(options_.exchange);
      for (const auto* key : keyframe_routing_keys)
        link_->bind(options_.queue, options_.exchange, key);
      if (!settled) {
        if (auto other = link_->other_exchange(options_.exchange); !other.empty())
          spdlog::warn("amqp: exchange {} is used as it is, with the routing keys keyframe.new, keyframe.revise and "
                       "keyframe.retract; producers that want a durable topic exchange will be refused: {}",
                       options_.exchange, other);
        settled = true;
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

  /// Waits with no connection; verdicts still come in, and segments still go.
  void idle(steady::time_point until) {
    while (!stop_.stop_requested()) {
      settle();
      auto left = std::chrono::ceil<milliseconds>(until - steady::now());
      if (left.count() <= 0 || stop_.stop_requested())
        return;
      wait(-1, left);
    }
  }

  void wait(int socket, milliseconds longest) const {
    pollfd files[2] = {{desk_->ring.fd(), POLLIN, 0}, {socket, POLLIN, 0}}; // poll passes over a file of -1
    ::poll(files, 2, static_cast<int>(longest.count()));
  }

  /// How long nothing is due.
  [[nodiscard]] milliseconds next_due(steady::time_point first) const {
    for (const auto& h : held_)
      first = std::min(first, h.what->due);
    return std::max(std::chrono::ceil<milliseconds>(first - steady::now()), milliseconds(0));
  }

  /// After a stop: what the sink still answers is still acknowledged, so that it need not come again.
  void say_farewell() {
    try {
      for (auto until = steady::now() + farewell; (desk_->offered > 0 || clearing_ > 0) && steady::now() < until;) {
        wait(link_ ? link_->socket() : -1, milliseconds(50));
        settle();
        while (link_ && link_->next())
          ; // not ours any more
      }
      crew_->clear_all();
      leaving_ = true;
      settle();
    } catch (const amqp_error& e) {
      spdlog::warn("amqp: {}; messages not yet acknowledged will come again", e.what());
    }
  }

  /// Acts on the results that have come in, and on what is due.
  void settle() {
    std::exception_ptr failure;
    for (auto& r : desk_->take()) {
      if (r.cleared) {
        --clearing_;
        try {
          answer(r);
        } catch (const amqp_error&) {
          failure = std::current_exception();
        }
        continue;
      }
      // A sink that closes takes nothing: that is no verdict. The stop comes before the closing, so it is known by now.
      const bool no_verdict = r.hindered != obstacle::none || r.said.what == outcome::not_now || r.said.what == outcome::refused;
      if (no_verdict && stop_.stop_requested())
        continue;
      try {
        if (judge(r))
          finish(r);
        else
          keep(r);
      } catch (const amqp_error&) {
        failure = std::current_exception(); // the other segments still want to be unlinked
      }
    }
    try_again();
    if (failure)
      std::rethrow_exception(failure);
  }

  /// Whether an errand is over; notes in the result what hinders it, if not.
  bool judge(errand_result& r) {
    auto& e = *r.what;
    if (r.hindered == obstacle::none && r.said.what != outcome::not_now)
      return true;
    if (r.hindered == obstacle::none)
      r.hindered = e.segment && !e.segment->torn().empty() ? obstacle::doubt : obstacle::shortage;
    if (r.hindered != obstacle::doubt) {
      e.in_doubt.reset();
      return false;
    }
    if (!e.in_doubt)
      e.in_doubt = steady::now();
    if (!e.last_try && steady::now() - *e.in_doubt < doubt_limit)
      return false;
    sink_->set_aside(kind(), name_of(e), r.said.reason);
    e.segment.reset(); // not ours to unlink: nobody knows what it holds
    r.said.what = outcome::refused;
    return true;
  }

  /// An errand is over: its segment goes, and its message.
  ///
  /// The broker hears of it only when the segment is gone. If this process dies in between, the message comes again: another one
  /// finds no segment, and says so. The other way round the segment would stay for ever: nobody would know of it any more.
  void finish(const errand_result& r) {
    const auto& e = r.what;
    const auto taken = r.said.what == outcome::accepted || r.said.what == outcome::duplicate;
    if (e->understood && e->note.what == notification::type::fresh && taken)
      desk_->remember(*e); // before its segment goes: see open()
    if (e->understood && e->note.what == notification::type::retract && taken)
      desk_->forget(e->note.id);
    if (!e->segment)
      return answer(r);
    const auto clear = [e, unlink = options_.unlink] {
      if (unlink)
        e->segment->unlink();
      e->segment->let_go();
      e->segment.reset();
    };
    if (leaving_) { // nobody waits for anything else
      clear();
      return answer(r);
    }
    ++clearing_;
    crew_->clear_away([clear, desk = desk_, r] {
      try {
        clear();
        auto over = r;
        over.cleared = true;
        desk->post(std::move(over));
      } catch (const std::exception& err) {
        desk->fail(text_of(err));
      }
    });
  }

  /// What is left of an errand whose segment is gone.
  void answer(const errand_result& r) {
    const auto& e = r.what;
    release(e);
    if (!link_ || e->link != link_number_)
      return;
    const bool bad = r.said.what == outcome::refused || r.said.what == outcome::conflict;
    if (bad && options_.dead_letter)
      link_->reject(e->message.tag, false);
    else
      link_->acknowledge(e->message.tag);
  }

  /// The next of its id may go.
  void release(const errand_ptr& e) {
    if (!e->understood)
      return;
    if (auto next = lanes_.leave(e))
      queue_.put(std::move(next));
  }

  /// An errand is to be tried again, a little later.
  void keep(errand_result& r) {
    const auto& e = r.what;
    if (e->segment && !e->segment->mapped())
      e->segment.reset(); // so many copies may wait that they would be all our memory; it is read again
    if (!link_ || e->link != link_number_)
      return release(e); // the broker gives it again
    e->due = steady::now() + pause_after(e->tries, r.hindered);
    if (r.hindered != obstacle::doubt && steady::now() - told_ > silence) {
      spdlog::warn("amqp: {} stays with the broker, and is tried again: {}", name_of(*e), r.said.reason);
      told_ = steady::now();
    }
    held_.push_back(std::move(r));
    // Segments that never come must not hold up others: no more than half of what may be under way waits for such.
    size_t doubtful = 0;
    errand* oldest = nullptr;
    for (const auto& h : held_)
      if (h.hindered == obstacle::doubt) {
        ++doubtful;
        if (oldest == nullptr || *h.what->in_doubt < *oldest->in_doubt)
          oldest = h.what.get();
      }
    if (doubtful > (options_.prefetch + 1u) / 2) {
      oldest->last_try = true;
      oldest->due = steady::now();
    }
  }

  /// Gives the reader what is due, and the broker what has been here too long.
  void try_again() {
    const auto now = steady::now();
    auto due = std::stable_partition(held_.begin(), held_.end(), [&](const errand_result& h) { return h.what->due > now; });
    std::vector<errand_result> ready(std::make_move_iterator(due), std::make_move_iterator(held_.end()));
    held_.erase(due, held_.end());
    for (const auto& r : ready) {
      if (!r.what->spent && now - r.what->received < keep_limit) {
        queue_.put(r.what);
        continue;
      }
      auto behind = r.what->understood ? lanes_.clear(r.what->note.id) : std::deque<errand_ptr>{}; // in their order
      release(r.what);
      link_->reject(r.what->message.tag, true);
      for (const auto& e : behind)
        link_->reject(e->message.tag, true);
    }
  }

  /// Threads: any.
  void lacking(const std::string& what) const {
    if (on_shortage_)
      on_shortage_(what);
  }

  void set_trouble(std::string text) {
    std::lock_guard lock(mutex_);
    trouble_ = std::move(text);
  }

  /// Says in trouble() how things are.
  void tell() {
    std::string text = denied_;
    if (text.empty() && !link_->consuming())
      text = "queue " + options_.queue + " is not being consumed";
    // One bad segment does not keep the others from coming; a shortage does, and so do so many that nothing else has room.
    const bool full = held_.size() >= options_.prefetch;
    for (const auto& h : held_)
      if (text.empty() && (full || (h.hindered == obstacle::shortage && steady::now() - h.what->received > passing)))
        text = std::to_string(held_.size()) + " messages wait to be tried again: " + h.said.reason;
    set_trouble(std::move(text));
  }

  // -- The reader's thread ----------------------------------------------------

  /// Reads one message and hands it to the sink.
  void work(const errand_ptr& e) {
    const auto hindered = [&](obstacle by, std::string why) { desk_->post({e, {outcome::not_now, std::move(why)}, by}); };
    std::optional<keyframe> frame;
    try {
      if (!e->understood) {
        understand(*e);
        e->understood = true;
        if (!lanes_.enter(e))
          return;
      }
      ++e->tries;
      if (e->note.what == notification::type::fresh)
        frame = open(*e);
    } catch (const no_such_segment& err) {
      // The same message twice (the acknowledgement was lost, or the producer repeats itself): its keyframe is in the map, and
      // its segment is gone. Another message of the same id is not that: it tells of something that should be there.
      if (desk_->remembers(*e)) {
        spdlog::info("amqp: {} was taken before, and its segment is gone", name_of(*e));
        return desk_->post({e, {outcome::duplicate, {}}});
      }
      return hindered(obstacle::doubt, err.what());
    } catch (const segment_torn& err) {
      return hindered(obstacle::doubt, err.what());
    } catch (const bad_input& err) {
      sink_->set_aside(kind(), name_of(*e), err.what());
      return desk_->post({e, {outcome::refused, err.what()}});
    } catch (const no_permission& err) {
      return hindered(obstacle::permission, err.what());
    } catch (const std::exception& err) {
      if (is_shortage(err))
        lacking(name_of(*e) + ": " + text_of(err));
      return hindered(obstacle::shortage, text_of(err));
    }
    try {
      hand_over(e, std::move(frame));
    } catch (const std::exception& err) {
      desk_->fail(err.what());
    }
  }

  /// Reads what a message says. Throws bad_input.
  void understand(errand& e) const {
    auto& m = e.message;
    if (is_type(m.content_type, keyframe_content_type)) {
      if (m.body_bytes > max_keyframe_bytes)
        throw bad_input("the message has " + std::to_string(m.body_bytes) + " bytes, at most "
                        + std::to_string(max_keyframe_bytes) + " are taken");
      if (m.message_id.empty())
        throw bad_input("the message_id is missing: it is the keyframe's id");
      auto group = header_text(m, "group");
      check_group(group);
      e.note.id = {m.message_id, header_text(m, "session")};
      e.spent = true;
      e.whole = keyframe_of_message(std::move(m.body), e.note.id, segments_.layout);
      e.spent = false;
      e.whole->source = kind();
      e.whole->group = std::move(group);
      return;
    }
    if (!m.content_type.empty() && !is_type(m.content_type, "application/msgpack")
        && !is_type(m.content_type, "application/x-msgpack"))
      throw bad_input("content type is '" + printable(m.content_type) + "', must be application/msgpack or "
                      + keyframe_content_type);
    if (m.body_bytes > max_notification_bytes)
      throw bad_input("notification has " + std::to_string(m.body_bytes) + " bytes, at most "
                      + std::to_string(max_notification_bytes) + " are read");
    e.note = parse_notification(m.body, m.routing_key);
    e.mark = std::hash<std::string_view>{}({reinterpret_cast<const char*>(m.body.data()), m.body.size()});
    const auto& [value, session] = e.note.id;
    if (e.note.what == notification::type::fresh)
      e.segment_name = checked_segment_name(!e.note.shm_key.empty() ? e.note.shm_key
                                            : session.empty()       ? options_.shm_prefix + value
                                                                    : options_.shm_prefix + "~" + session + "~" + value,
                                            options_.shm_prefix);
  }

  /// The keyframe that a message brings or tells of. Throws what shm_segment throws.
  keyframe open(errand& e) {
    if (e.whole)
      return *e.whole;
    if (!e.segment || !e.segment->torn().empty()) {
      e.segment.reset();
      try {
        const auto segment = std::make_shared<shm_segment>(e.segment_name, segments_.memory.get());
        if (!segment->mapped()) // else who uses it reads it
          crew_->read(segment);
        e.segment = segment;
      } catch (const no_such_segment&) {
        throw;
      } catch (const bad_input&) {
        if (options_.unlink)
          discard_segment(e.segment_name);
        throw;
      }
    }
    try {
      auto frame = keyframe_of_segment(e.segment, e.note, segments_.layout);
      frame.source = kind();
      frame.group = e.note.group;
      return frame;
    } catch (const other_keyframe&) {
      e.segment.reset(); // not this message's to unlink
      throw;
    }
  }

  void hand_over(const errand_ptr& e, std::optional<keyframe> frame) {
    ++desk_->offered;
    auto done = [desk = desk_, e](const verdict& v) {
      desk->post({e, v});
      --desk->offered; // after it: who waits for the last one finds it
    };
    switch (e->note.what) {
    case notification::type::fresh:
      return sink_->offer(std::move(*frame), done);
    case notification::type::revise:
      return sink_->revise(e->note.id, *e->note.world_from_camera, done);
    case notification::type::retract:
      return sink_->retract(e->note.id, done);
    }
  }

  amqp_address address_;
  amqp_options options_;
  segment_options segments_;
  shortage_listener on_shortage_;
  keyframe_sink* sink_ = nullptr;
  std::stop_token stop_;
  std::shared_ptr<errand_desk> desk_;
  errand_queue queue_;
  errand_lanes lanes_;
  std::optional<segment_crew> crew_;

  // Of the connection's thread.
  std::unique_ptr<amqp_link> link_;
  uint64_t link_number_ = 0;
  std::vector<errand_result> held_; ///< to be tried again
  size_t clearing_ = 0;             ///< errands whose segment is on its way out
  bool leaving_ = false;            ///< what is over is over at once
  std::string denied_;              ///< what the broker would not do with exchange or queue
  steady::time_point told_{};       ///< when it was last logged that something must wait

  mutable std::mutex mutex_;
  std::string trouble_;
};

} // namespace

std::unique_ptr<source> make_amqp_source(const std::string& url, const amqp_options& options, const segment_options& segments,
                                         shortage_listener on_shortage) {
  return std::make_unique<amqp_source>(url, options, segments, std::move(on_shortage));
}

} // namespace tessera
