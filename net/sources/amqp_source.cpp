#include "net/sources/amqp_source.hpp"

#include "net/sources/amqp_link.hpp"
#include "net/sources/backoff.hpp"
#include "net/sources/bad_input.hpp"
#include "net/sources/bell.hpp"
#include "net/sources/recent_ids.hpp"
#include "net/sources/segment_keyframe.hpp"
#include "net/sources/utf8.hpp"

#include <spdlog/spdlog.h>

#include <poll.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace tessera {

namespace {

using steady = std::chrono::steady_clock;

constexpr size_t remembered_ids = 4096;
/// After a stop: how long verdicts that are still to come are waited for.
constexpr auto farewell = std::chrono::seconds(2);

/// One message on its way through the sink.
struct errand {
  uint64_t link = 0; ///< number of the connection it came by: tags mean nothing on another
  uint64_t tag = 0;
  keyframe_id id;
  std::shared_ptr<const shm_segment> segment;
  bool keyframe = false;
};

/// How an errand ended.
struct result {
  errand what;
  outcome verdict = outcome::accepted;
  bool again = false; ///< not the message's fault: back to the queue
};

/// What the connection's thread, the reader's thread and the sink's threads share. Completions keep it alive.
class exchange_desk {
public:
  void post(result r) {
    {
      std::lock_guard lock(mutex_);
      results_.push_back(std::move(r));
    }
    ring.ring();
  }
  std::deque<result> take() {
    ring.quiet();
    std::lock_guard lock(mutex_);
    return std::exchange(results_, {});
  }
  void remember(const keyframe_id& id) {
    std::lock_guard lock(mutex_);
    recent_.add(id);
  }
  bool remembers(const keyframe_id& id) {
    std::lock_guard lock(mutex_);
    return recent_.contains(id);
  }

  bell ring;

private:
  std::mutex mutex_;
  std::deque<result> results_;
  recent_ids recent_{remembered_ids};
};

/// A message to be read, and the connection it came by.
struct letter {
  uint64_t link = 0;
  amqp_delivery message;
};

/// Letters from the connection's thread to the reader's; the broker's prefetch bounds how many there are.
class letter_box {
public:
  void put(letter l) {
    {
      std::lock_guard lock(mutex_);
      letters_.push_back(std::move(l));
    }
    filled_.notify_one();
  }
  std::optional<letter> take(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    if (!filled_.wait(lock, stop, [&] { return !letters_.empty(); }) || stop.stop_requested())
      return std::nullopt;
    auto l = std::move(letters_.front());
    letters_.pop_front();
    return l;
  }
  /// Throws away what came by a connection that is gone: the broker gives it again. Returns how many.
  size_t clear() {
    std::lock_guard lock(mutex_);
    return std::exchange(letters_, {}).size();
  }

private:
  std::mutex mutex_;
  std::condition_variable_any filled_;
  std::deque<letter> letters_;
};

std::string name_of(const amqp_delivery& m) {
  return "message " + printable(m.routing_key) + (m.message_id.empty() ? "" : " " + printable(m.message_id));
}

class amqp_source final : public source {
public:
  amqp_source(const std::string& url, const source_options& options) : address_(parse_amqp_url(url)), options_(options) {
    if (options.prefetch < 1 || options.prefetch > 512)
      throw std::invalid_argument("prefetch is " + std::to_string(options.prefetch) + ", must be 1 to 512");
    if (options.heartbeat_s < 1 || options.heartbeat_s > 600)
      throw std::invalid_argument("heartbeat is " + std::to_string(options.heartbeat_s) + " s, must be 1 to 600");
  }

  [[nodiscard]] std::string kind() const override { return "amqp"; }
  [[nodiscard]] std::string where() const override { return address_.shown(); }

  void run(keyframe_sink& sink, std::stop_token stop) override {
    auto desk = std::make_shared<exchange_desk>();
    std::stop_callback wake(stop, [desk] { desk->ring.ring(); });
    letter_box letters;
    under_way_ = 0;
    std::jthread reader([&](const std::stop_token& enough) {
      while (auto l = letters.take(enough))
        read(*l, sink, desk, enough);
    });
    backoff pause(std::chrono::milliseconds(200), std::chrono::seconds(10));
    std::unique_ptr<amqp_link> link;
    try {
      for (bool first = true; !stop.stop_requested(); first = false) {
        try {
          link = connect();
          ++link_number_;
          pause.reset();
          spdlog::info("amqp: listening on {}, exchange {}, queue {}", where(), options_.exchange, options_.queue);
          listen(*link, letters, *desk, stop);
        } catch (const amqp_error& e) {
          link.reset();
          under_way_ -= letters.clear();
          constexpr int refused = 403, no_such_vhost = 530;
          if (first && (e.code() == refused || e.code() == no_such_vhost))
            throw std::runtime_error(std::string(e.what()) + "; check user, password, vhost and the user's permissions");
          auto delay = pause.next();
          spdlog::warn("amqp: {}; trying again in {:.1f} s", e.what(), std::chrono::duration<double>(delay).count());
          idle(steady::now() + delay, *desk, stop);
        }
      }
    } catch (...) {
      reader.request_stop();
      throw;
    }
    under_way_ -= letters.clear();
    reader.request_stop();
    // What the sink still answers is still acknowledged, so that it need not come again.
    try {
      for (auto until = steady::now() + farewell; under_way_ > 0 && steady::now() < until;) {
        wait(*desk, link ? link->socket() : -1, std::chrono::milliseconds(50));
        settle(*desk, link.get(), stop);
      }
    } catch (const amqp_error& e) {
      spdlog::warn("amqp: {}; messages not yet acknowledged will come again", e.what());
    }
  }

private:
  std::unique_ptr<amqp_link> connect() const {
    auto link = std::make_unique<amqp_link>(address_, options_.heartbeat_s);
    link->ensure_exchange(options_.exchange);
    link->ensure_queue(options_.queue);
    link->bind(options_.queue, options_.exchange, "keyframe.*");
    link->consume(options_.queue, options_.prefetch);
    return link;
  }

  void listen(amqp_link& link, letter_box& letters, exchange_desk& desk, const std::stop_token& stop) {
    auto tick = std::chrono::milliseconds(options_.heartbeat_s * 250);
    while (!stop.stop_requested()) {
      settle(desk, &link, stop);
      while (auto message = link.next()) {
        ++under_way_;
        letters.put({link_number_, std::move(*message)});
      }
      if (!stop.stop_requested()) // its ring may be quiet already: settle() has heard it
        wait(desk, link.socket(), tick);
    }
  }

  /// Waits with no connection; verdicts still come in, and segments still go.
  void idle(steady::time_point until, exchange_desk& desk, const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      settle(desk, nullptr, stop);
      auto left = std::chrono::ceil<std::chrono::milliseconds>(until - steady::now());
      if (left.count() <= 0 || stop.stop_requested())
        return;
      wait(desk, -1, left);
    }
  }

  static void wait(const exchange_desk& desk, int socket, std::chrono::milliseconds longest) {
    pollfd files[2] = {{desk.ring.fd(), POLLIN, 0}, {socket, POLLIN, 0}}; // poll passes over a file of -1
    ::poll(files, 2, static_cast<int>(longest.count()));
  }

  /// Acts on the verdicts that have come in.
  void settle(exchange_desk& desk, amqp_link* link, const std::stop_token& stop) {
    std::optional<amqp_error> failure;
    for (auto& r : desk.take()) {
      --under_way_;
      // A sink that closes refuses: that is no verdict on the keyframe. The stop comes before the closing, so
      // it is known by now.
      if (r.verdict == outcome::refused && stop.stop_requested())
        continue;
      if (!r.again && r.what.keyframe) {
        if (r.verdict == outcome::accepted || r.verdict == outcome::duplicate)
          desk.remember(r.what.id); // before its segment goes: see read()
        if (r.what.segment && options_.unlink)
          r.what.segment->unlink();
      }
      if (link == nullptr || failure || r.what.link != link_number_)
        continue;
      try {
        if (r.again)
          link->reject(r.what.tag, true);
        else if (r.verdict == outcome::refused && options_.dead_letter)
          link->reject(r.what.tag, false);
        else
          link->acknowledge(r.what.tag);
      } catch (const amqp_error& e) {
        failure = e; // the other segments still want to be unlinked
      }
    }
    if (failure)
      throw *failure;
  }

  /// Reads one message and hands it to the sink. Runs in the reader's thread.
  void read(letter& l, keyframe_sink& sink, const std::shared_ptr<exchange_desk>& desk, const std::stop_token& enough) {
    errand what{l.link, l.message.tag, {}, nullptr, false};
    auto finish = [desk](const errand& e) { return [desk, e](const verdict& v) { desk->post({e, v.what, false}); }; };
    try {
      auto type = l.message.content_type.substr(0, l.message.content_type.find(';'));
      if (type == keyframe_content_type) {
        if (l.message.body.size() > max_keyframe_bytes)
          throw bad_input("the message has " + std::to_string(l.message.body.size()) + " bytes, at most "
                          + std::to_string(max_keyframe_bytes) + " are taken");
        if (l.message.message_id.empty())
          throw bad_input("the message_id is missing: it is the keyframe's id");
        auto frame = keyframe_of_message(std::move(l.message.body), {l.message.message_id}, options_.layout);
        what.id = frame.id;
        what.keyframe = true;
        sink.offer(std::move(frame), finish(what));
        return;
      }
      if (!type.empty() && type != "application/msgpack" && type != "application/x-msgpack")
        throw bad_input("content type is '" + printable(type) + "', must be application/msgpack or " + keyframe_content_type);
      auto note = parse_notification(l.message.body, l.message.routing_key);
      what.id = note.id;
      switch (note.what) {
      case notification::type::retract:
        sink.retract(note.id, finish(what));
        return;
      case notification::type::revise:
        sink.revise(note.id, *note.world_from_camera, finish(what));
        return;
      case notification::type::fresh:
        break;
      }
      what.keyframe = true;
      std::string key
        = checked_segment_name(note.shm_key.empty() ? options_.shm_prefix + note.id.value : note.shm_key, options_.shm_prefix);
      try {
        what.segment = std::make_shared<const shm_segment>(key);
      } catch (const no_such_segment&) {
        // Told of twice (the acknowledgement was lost, or the producer repeats itself): it is in the map, and
        // its segment is gone.
        if (!desk->remembers(note.id))
          throw;
        desk->post({what, outcome::duplicate, false});
        return;
      } catch (const bad_input&) {
        if (options_.unlink)
          discard_segment(key);
        throw;
      }
      sink.offer(keyframe_of_segment(what.segment, note, options_.layout), finish(what));
    } catch (const other_keyframe& e) {
      what.segment.reset(); // not this message's to unlink
      sink.set_aside(kind(), name_of(l.message), e.what());
      desk->post({what, outcome::refused, false});
    } catch (const bad_input& e) {
      sink.set_aside(kind(), name_of(l.message), e.what());
      desk->post({what, outcome::refused, false});
    } catch (const std::exception& e) {
      // The system's fault (no memory, too many mappings): the message is good, and comes again a little
      // later.
      spdlog::error("amqp: {} could not be taken and goes back to the queue: {}", name_of(l.message), e.what());
      std::mutex mutex;
      std::unique_lock lock(mutex);
      std::condition_variable_any().wait_for(lock, enough, std::chrono::seconds(1), [] { return false; });
      desk->post({what, outcome::refused, true});
    }
  }

  amqp_address address_;
  source_options options_;
  uint64_t link_number_ = 0;
  uint64_t under_way_ = 0; // messages taken from the broker without a result; of the connection's thread
};

} // namespace

std::unique_ptr<source> make_amqp_source(const std::string& url, const source_options& options) {
  return std::make_unique<amqp_source>(url, options);
}

} // namespace tessera
