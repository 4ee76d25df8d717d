#include "net/sources/publish.hpp"

#include "net/producer.hpp"
#include "net/sources/amqp_url.hpp"
#include "net/sources/backoff.hpp"
#include "net/sources/http_publisher.hpp"
#include "net/sources/pace.hpp"
#include "net/sources/producer_view.hpp"
#include "net/sources/utf8.hpp"

#include <spdlog/spdlog.h>

#include <mutex>
#include <optional>
#include <stdexcept>

namespace tessera {

void publisher::set_aside(const std::string& source, const std::string& what, const std::string& reason) {
  ++set_aside_;
  spdlog::warn("{}: {} set aside: {}", source, what, reason);
}

void publisher::finish(const completion& done, const verdict& v) {
  ++(v.what == outcome::refused ? refused_ : published_);
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

/// Does it until it does not throw what may pass (a full folder, a broker that is away), or patience is over.
template <class F>
verdict insist(const publish_options& options, const std::stop_token& stop, F action) {
  constexpr auto silence = std::chrono::seconds(2); // short waits are how backpressure works
  auto start = std::chrono::steady_clock::now(), until = start + options.patience, tell = start + silence;
  backoff pause(std::chrono::milliseconds(10), std::chrono::milliseconds(500));
  std::string last;
  for (;;) {
    try {
      action();
      return {};
    } catch (const std::invalid_argument& e) {
      return {outcome::refused, e.what()}; // the keyframe itself will not do
    } catch (const std::exception& e) {
      last = e.what();
    }
    auto now = std::chrono::steady_clock::now(), next = now + pause.next();
    if (now > tell) {
      spdlog::warn("publish: {}; trying again", last);
      tell = until;
    }
    if (next > until)
      return {outcome::refused, last};
    if (!sleep_unless(stop, next))
      return {outcome::refused, "stopped: " + last};
  }
}

class shm_publisher final : public publisher {
public:
  shm_publisher(const std::string& prefix, const publish_options& options, std::stop_token stop)
    : prefix_(prefix), options_(options), stop_(std::move(stop)), writer_(segments(prefix, options)) {}

  [[nodiscard]] std::string where() const override { return "shm:" + prefix_; }

  void offer(keyframe frame, completion done) override {
    std::lock_guard lock(mutex_);
    finish(done, insist(options_, stop_, [&] { writer_.write(producer_view(frame)); }));
  }
  void retract(keyframe_id, completion done) override {
    finish(done, {outcome::refused, "shared memory alone cannot take a keyframe back: publish over amqp:// or http://"});
  }
  void revise(keyframe_id, pose, completion done) override {
    finish(done, {outcome::refused, "shared memory alone cannot move a keyframe: publish over amqp:// or http://"});
  }

private:
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
    : address_(parse_amqp_url(url)), options_(options), stop_(std::move(stop)), broker_(broker(address_, options)) {}

  [[nodiscard]] std::string where() const override { return address_.shown(); }

  void offer(keyframe frame, completion done) override {
    std::lock_guard lock(mutex_);
    send(done, [&] { broker_.publish(producer_view(frame)); });
  }
  void retract(keyframe_id id, completion done) override {
    std::lock_guard lock(mutex_);
    send(done, [&] { broker_.retract(id.value, id.session); });
  }
  void revise(keyframe_id id, pose world_from_camera, completion done) override {
    std::lock_guard lock(mutex_);
    send(done, [&] { broker_.revise(id.value, world_from_camera.m, id.session); });
  }

private:
  static producer::amqp_options broker(const amqp_address& address, const publish_options& options) {
    producer::amqp_options o;
    o.url = address.encoded();
    o.exchange = options.exchange;
    o.queue = options.queue;
    o.embed = options.embed;
    o.segments.prefix = options.shm_prefix;
    o.segments.max_pending_bytes = options.max_pending_bytes;
    return o;
  }

  template <class F>
  void send(const completion& done, F action) {
    std::optional<std::string> turned_away;
    auto result = insist(options_, stop_, [&] {
      try {
        action();
      } catch (const producer::broker_error& e) {
        constexpr int refused = 403, no_such_vhost = 530;
        if (e.code() != refused && e.code() != no_such_vhost)
          throw;
        turned_away = std::string(e.what()) + "; check user, password, vhost and the user's permissions";
        throw std::invalid_argument(*turned_away); // trying again would not help
      }
    });
    finish(done, result);
    if (turned_away)
      throw std::runtime_error(*turned_away);
  }

  amqp_address address_;
  publish_options options_;
  std::stop_token stop_;
  std::mutex mutex_;
  producer::amqp_publisher broker_;
};

} // namespace

std::unique_ptr<publisher> make_publisher(const std::string& url, const publish_options& options, std::stop_token stop) {
  if (url.starts_with("amqp://"))
    return std::make_unique<amqp_publisher>(url, options, std::move(stop));
  if (url.starts_with("shm:") && url.size() > 4)
    return std::make_unique<shm_publisher>(url.substr(4), options, std::move(stop));
  if (url.starts_with("http://"))
    return make_http_publisher(url, options, std::move(stop));
  auto scheme = url.substr(0, url.find(':'));
  throw std::invalid_argument("cannot publish to '" + printable(scheme)
                              + ":': there are amqp://USER:PASSWORD@HOST:PORT/VHOST, shm:/PREFIX and http://HOST:PORT");
}

} // namespace tessera
