#include "net/publishers/publish.hpp"

#include "net/base/side_call.hpp"
#include "net/base/utf8.hpp"
#include "net/clients/cpp/producer.hpp"
#include "net/formats/notification.hpp"
#include "net/formats/revisions.hpp"
#include "net/publishers/http_publisher.hpp"
#include "net/publishers/patience.hpp"
#include "net/publishers/producer_view.hpp"
#include "net/sources/amqp/amqp_link.hpp"
#include "net/sources/amqp/amqp_url.hpp"

#include <spdlog/spdlog.h>

#include <mutex>
#include <optional>
#include <stdexcept>

namespace tessera {

void publisher::set_aside(const std::string& source, const std::string& what, const std::string& reason) {
  {
    std::lock_guard lock(mutex_);
    ++counts_.set_aside;
  }
  spdlog::warn("{}: {} set aside: {}", source, what, reason);
}

publisher::counts publisher::so_far() const {
  std::lock_guard lock(mutex_);
  auto now = counts_;
  now.undelivered = undelivered_.size() + undelivered_many_;
  return now;
}

namespace {

/// Which count a verdict is part of.
uint64_t publisher::counts::*count_of(outcome what) {
  switch (what) {
  case outcome::duplicate:
    return &publisher::counts::duplicates;
  case outcome::dropped:
    return &publisher::counts::dropped;
  case outcome::refused:
  case outcome::conflict:
    return &publisher::counts::refused;
  default:
    return &publisher::counts::published;
  }
}

} // namespace

void publisher::finish(const keyframe_id& id, const completion& done, const verdict& v) {
  {
    std::lock_guard lock(mutex_);
    if (v.what == outcome::not_now) {
      undelivered_.insert(id);
    } else {
      undelivered_.erase(id);
      ++(counts_.*count_of(v.what));
    }
  }
  done(v);
}

void publisher::finish_many(const completion& done, const verdict& v) {
  {
    std::lock_guard lock(mutex_);
    if (v.what == outcome::not_now)
      ++undelivered_many_;
    else
      ++(counts_.*count_of(v.what));
  }
  done(v);
}

producer::keyframe producer_view(const keyframe& frame) {
  producer::keyframe view;
  view.id = frame.id.value;
  view.session = frame.id.session;
  view.group = frame.group;
  view.pose = frame.world_from_camera.m;
  view.points = frame.body->points().data();
  view.colours = frame.body->colours().data();
  view.count = frame.body->size();
  view.channels = frame.body->channels();
  view.confidence = frame.body->confidence().empty() ? nullptr : frame.body->confidence().data();
  view.timestamp_ns = frame.timestamp_ns;
  return view;
}

namespace {

/// Does it until it does not throw what may pass (a full folder, a broker that is away), or there is no more patience.
template <class F>
verdict insist(patience& left, F action) {
  do {
    try {
      action();
      return {};
    } catch (const std::invalid_argument& e) {
      return {outcome::refused, e.what()}; // the keyframe itself will not do
    } catch (const amqp_error& e) {
      if (is_lasting(e))
        throw;
      left.note(e.what());
    } catch (const std::exception& e) {
      left.note(e.what());
    }
  } while (left.pause());
  return left.given_up();
}

class shm_publisher final : public publisher {
public:
  shm_publisher(const std::string& prefix, const publish_options& options, std::stop_token stop)
    : prefix_(prefix), options_(options), stop_(std::move(stop)), writer_(segments(prefix, options)) {}

  [[nodiscard]] std::string where() const override { return "shm:" + prefix_; }

  void offer(map_input what, completion done) override {
    finish(id_of(what), done, std::visit([this](const auto& one) { return publish(one); }, what));
  }

  void correct(correction, completion done) override { finish_many(done, publish(revision{})); }

private:
  verdict publish(const keyframe& frame) {
    std::lock_guard lock(mutex_);
    patience left(options_.patience, stop_);
    return insist(left, [&] { writer_.write(producer_view(frame)); });
  }
  static verdict publish(const retraction&) {
    return {outcome::refused, "shared memory alone cannot take a keyframe back: publish over amqp:// or http://"};
  }
  static verdict publish(const revision&) {
    return {outcome::refused, "shared memory alone cannot move a keyframe: publish over amqp:// or http://"};
  }

  static producer::segment_options segments(const std::string& prefix, const publish_options& options) {
    producer::segment_options o;
    o.prefix = prefix;
    o.max_pending_bytes = options.max_pending_bytes;
    return o;
  }
  std::string prefix_;
  publish_options options_;
  std::stop_token stop_;
  std::mutex mutex_;
  producer::segment_writer writer_;
};

class amqp_publisher final : public publisher {
public:
  amqp_publisher(const std::string& url, const publish_options& options, std::stop_token stop)
    : address_(parse_amqp_url(url, options.amqp)), options_(options), stop_(std::move(stop)), writer_(segments(options)) {}

  [[nodiscard]] std::string where() const override { return address_.shown(); }

  void offer(map_input what, completion done) override {
    std::lock_guard lock(mutex_);
    std::string segment;
    const auto [v, lasting]
      = deliver([&] { return std::visit([&](const auto& one) { return message_of(one, segment); }, what); });
    if (v.what != outcome::accepted && !segment.empty())
      writer_.discard(segment); // nobody is told of it
    finish(id_of(what), done, v);
    if (lasting)
      throw std::runtime_error(v.reason);
  }
  void correct(correction what, completion done) override {
    std::lock_guard lock(mutex_);
    delivery sent;
    for (auto& body : revisions_bodies(what, max_notification_bytes)) {
      sent = deliver([&body] { return note("keyframe.revise", body); });
      if (sent.v.what != outcome::accepted)
        break;
    }
    finish_many(done, sent.v);
    if (sent.lasting)
      throw std::runtime_error(sent.v.reason);
  }

private:
  struct delivery {
    verdict v;
    bool lasting = false; ///< nothing else would get through
  };

  /// Sends a message, which is made once, until it is there or patience is over.
  template <class Make>
  delivery deliver(Make make) {
    patience left(options_.patience, stop_);
    std::shared_ptr<const amqp_outgoing> message;
    try {
      return {insist(left,
                     [&] {
                       if (!message)
                         message = std::make_shared<const amqp_outgoing>(make());
                       send(message, left);
                     }),
              false};
    } catch (const amqp_error& e) {
      return {{outcome::not_now, e.what()}, true}; // it is not the keyframe that will not do
    }
  }

  static producer::segment_options segments(const publish_options& options) {
    producer::segment_options o;
    o.prefix = options.shm_prefix;
    o.max_pending_bytes = options.max_pending_bytes;
    return o;
  }

  /// What is sent. A keyframe that does not travel inside it is written to a segment, which `segment` names then.
  amqp_outgoing message_of(const keyframe& frame, std::string& segment) {
    const auto view = producer_view(frame);
    if (!options_.embed) {
      producer::layout bytes(view);
      segment = writer_.write(view.id, bytes, view.session);
      return note("keyframe.new", producer::new_keyframe(view, segment, bytes));
    }
    amqp_outgoing message{.routing_key = "keyframe.new"};
    message.content_type = producer::keyframe_content_type;
    message.message_id = view.id;
    message.session = view.session;
    message.group = view.group;
    message.body = producer::message_body(view);
    return message;
  }
  static amqp_outgoing message_of(const revision& to, std::string&) {
    return note("keyframe.revise", producer::revise_keyframe(to.id.value, to.world_from_camera.m, 0, to.id.session, to.number));
  }
  static amqp_outgoing message_of(const retraction& of, std::string&) {
    return note("keyframe.retract", producer::retract_keyframe(of.id.value, 0, of.id.session));
  }

  static amqp_outgoing note(const char* what, std::string body) {
    amqp_outgoing message;
    message.routing_key = what;
    message.content_type = producer::notification_content_type;
    message.body = std::move(body);
    return message;
  }

  /// Tries once. What blocks, to connect or because the broker takes nothing, is left behind when patience is over.
  void send(const std::shared_ptr<const amqp_outgoing>& message, patience& left) {
    side_call<std::shared_ptr<amqp_link>> call([link = std::move(link_), address = address_, exchange = options_.exchange,
                                                queue = options_.queue, message](const std::stop_token& given_up) mutable {
      const bool fresh = !link;
      if (fresh) // no heartbeat: nobody would answer it between two keyframes; the next confirmation finds a dead connection
        link = std::make_shared<amqp_link>(address, 0);
      std::stop_callback cut(given_up, [&link] { link->cut(); });
      if (fresh) {
        link->ensure_exchange(exchange);
        link->confirm_publishing();
      }
      if (link->publish(exchange, *message))
        return link;
      link->ensure_queue(queue);
      for (const auto* key : keyframe_routing_keys)
        link->bind(queue, exchange, key);
      if (!link->publish(exchange, *message))
        throw amqp_error("the message found no queue bound to the exchange " + exchange);
      return link;
    });
    while (!call.wait_for(std::chrono::milliseconds(100), stop_)) {
      left.note(where() + " does not answer");
      if (left.over())
        throw amqp_error(where() + " does not answer");
    }
    link_ = call.take();
  }

  amqp_address address_;
  publish_options options_;
  std::stop_token stop_;
  std::mutex mutex_;
  producer::segment_writer writer_;
  std::shared_ptr<amqp_link> link_;
};

} // namespace

std::unique_ptr<publisher> make_publisher(const std::string& url, const publish_options& options, std::stop_token stop) {
  if (is_amqp_url(url))
    return std::make_unique<amqp_publisher>(url, options, std::move(stop));
  if (url.starts_with("shm:") && url.size() > 4)
    return std::make_unique<shm_publisher>(url.substr(4), options, std::move(stop));
  if (url.starts_with("http://"))
    return make_http_publisher(url, options, std::move(stop));
  auto scheme = url.substr(0, url.find(':'));
  throw std::invalid_argument(
    "cannot publish to '" + printable(scheme)
    + ":': there are amqp://USER:PASSWORD@HOST:PORT/VHOST (amqps:// for TLS), shm:/PREFIX and http://HOST:PORT");
}

} // namespace tessera
