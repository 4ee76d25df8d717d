#include "net/publishers/publish.hpp"

#include "net/formats/revisions.hpp"
#include "net/formats/segment_header.hpp"
#include "net/sources/source_table.hpp"
#include "recording_sink.hpp"
#include "shm_name.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <stdexcept>
#include <thread>

using namespace tessera;
namespace http = boost::beast::http;
using tcp = boost::asio::ip::tcp;

namespace {

keyframe some_keyframe(std::string id) {
  auto body = std::make_shared<owned_keyframe_body>();
  for (int i = 0; i < 30; ++i) {
    body->point_data.push_back(static_cast<float>(i));
    body->colour_data.push_back(static_cast<uint8_t>(i));
  }
  keyframe k;
  k.id.value = std::move(id);
  k.timestamp_ns = 5;
  k.world_from_camera.m[3] = 2;
  k.body = body;
  return k;
}

verdict offered(publisher& to, keyframe k) {
  verdict result{outcome::unknown, "never answered"};
  to.offer(std::move(k), [&](const verdict& v) { result = v; });
  return result;
}

/// A service that answers each request with the next of its answers, and keeps what it was asked.
class small_service {
public:
  struct answer {
    http::status status;
    std::string body;
    bool hang_up = false;
  };
  explicit small_service(std::vector<answer> answers)
    : acceptor_(io_, tcp::endpoint(boost::asio::ip::make_address("127.0.0.1"), 0)) {
    worker_ = std::thread([this, answers = std::move(answers)] {
      tcp::socket socket(io_);
      bool open = false;
      boost::beast::flat_buffer buffer;
      for (const auto& a : answers) {
        if (!open) {
          socket = acceptor_.accept();
          buffer.clear();
        }
        http::request<http::string_body> request;
        http::read(socket, buffer, request);
        requests.push_back(request);
        if (a.hang_up) {
          socket.close();
          open = false;
          continue;
        }
        http::response<http::string_body> response(a.status, 11);
        response.body() = a.body;
        response.keep_alive(true);
        response.prepare_payload();
        http::write(socket, response);
        open = true;
      }
    });
  }
  ~small_service() { finish(); }
  void finish() {
    if (worker_.joinable())
      worker_.join();
  }
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()); }

  std::vector<http::request<http::string_body>> requests;

private:
  boost::asio::io_context io_;
  tcp::acceptor acceptor_;
  std::thread worker_;
};

} // namespace

TEST_CASE("what is published to shared memory comes out of the watch as it was") {
  auto prefix = testing::shm_name::own_prefix();
  testing::shm_name first(prefix, "a"), second(prefix, "b");
  auto out = make_publisher("shm:" + prefix, {}, {});
  CHECK(out->where() == "shm:" + prefix);
  CHECK(offered(*out, some_keyframe("a")).what == outcome::accepted);
  auto with_confidence = some_keyframe("b");
  auto body = std::make_shared<owned_keyframe_body>(dynamic_cast<const owned_keyframe_body&>(*with_confidence.body));
  body->confidence_data.assign(10, 0.5f);
  with_confidence.body = body;
  CHECK(offered(*out, with_confidence).what == outcome::accepted);

  testing::recording_sink sink;
  source_options o;
  o.shm.settle_ms = 10;
  std::jthread watch([&](std::stop_token stop) { make_source("shm:" + prefix, o)->run(sink, stop); });
  REQUIRE(sink.wait_for(2));
  watch.request_stop();
  watch.join();
  auto frames = sink.frames();
  CHECK(frames[0].id.value == "a");
  CHECK(frames[0].timestamp_ns == 5);
  CHECK(frames[0].world_from_camera == some_keyframe("a").world_from_camera);
  CHECK(frames[0].body->points()[29] == 29);
  CHECK(frames[0].body->colours()[29] == 29);
  CHECK(frames[1].body->confidence().size() == 10);
  CHECK(out->so_far().published == 2);
}

TEST_CASE("segments that nobody takes are bounded") {
  auto prefix = testing::shm_name::own_prefix();
  testing::shm_name first(prefix, "a"), second(prefix, "b");
  publish_options o;
  o.max_pending_bytes = 400; // a keyframe of ten points has 254 bytes
  o.patience = std::chrono::seconds(0);
  auto out = make_publisher("shm:" + prefix, o, {});
  CHECK(offered(*out, some_keyframe("a")).what == outcome::accepted);
  auto v = offered(*out, some_keyframe("b"));
  CHECK(v.what == outcome::not_now);
  CHECK_THAT(v.reason, Catch::Contains("max_pending_bytes = 400"));
  CHECK_FALSE(second.exists());
  first.unlink(); // a service has taken it
  CHECK(offered(*out, some_keyframe("b")).what == outcome::accepted);
}

TEST_CASE("a keyframe that will not do is refused, and the next one goes on") {
  auto prefix = testing::shm_name::own_prefix();
  testing::shm_name good(prefix, "good");
  auto out = make_publisher("shm:" + prefix, {}, {});
  CHECK(offered(*out, some_keyframe("a/b")).what == outcome::refused);
  auto bad_pose = some_keyframe("c");
  bad_pose.world_from_camera.m[12] = 7;
  auto v = offered(*out, bad_pose);
  CHECK(v.what == outcome::refused);
  CHECK_THAT(v.reason, Catch::Contains("pose"));
  CHECK(offered(*out, some_keyframe("good")).what == outcome::accepted);
  CHECK(out->so_far().refused == 2);
}

TEST_CASE("keyframes are posted whole, with id, time and token") {
  small_service service({{http::status::ok, R"({"outcome":"accepted"})"},
                         {http::status::ok, R"({"outcome":"duplicate"})"},
                         {http::status::ok, R"({"outcome":"dropped"})"}});
  publish_options o;
  o.token = "secret";
  auto out = make_publisher(service.url(), o, {});
  CHECK(offered(*out, some_keyframe("kf/1 \xc3\xa9")).what == outcome::accepted);
  CHECK(offered(*out, some_keyframe("b")).what == outcome::duplicate);
  CHECK(offered(*out, some_keyframe("c")).what == outcome::dropped);
  service.finish();
  REQUIRE(service.requests.size() == 3);
  const auto counts = out->so_far();
  CHECK((counts.published == 1 && counts.duplicates == 1 && counts.dropped == 1 && counts.refused == 0));
  const auto& r = service.requests[0];
  CHECK(r.method() == http::verb::post);
  CHECK(r.target() == "/v1/keyframes");
  CHECK(r[http::field::content_type] == "application/vnd.tessera.keyframe");
  CHECK(r["X-Keyframe-Id"] == "kf%2F1%20%C3%A9");
  CHECK(r["X-Timestamp-Ns"] == "5");
  CHECK(r[http::field::authorization] == "Bearer secret");
  const auto* bytes = reinterpret_cast<const std::byte*>(r.body().data());
  auto k = keyframe_of_message({bytes, bytes + r.body().size()}, {"x"}, pose_layout::automatic);
  CHECK(k.body->points()[29] == 29);
  CHECK(k.world_from_camera.m[3] == 2);
}

TEST_CASE("a token in the address goes into the header, and nowhere else") {
  small_service service({{http::status::ok, R"({"outcome":"accepted"})"}});
  publish_options o;
  o.token = "another";
  auto out = make_publisher(service.url() + "/?token=se%2Fcret", o, {});
  CHECK(out->where() == service.url());
  CHECK(offered(*out, some_keyframe("a")).what == outcome::accepted);
  service.finish();
  REQUIRE(service.requests.size() == 1);
  CHECK(service.requests[0].target() == "/v1/keyframes");
  CHECK(service.requests[0][http::field::authorization] == "Bearer se/cret");
}

TEST_CASE("a service that lets nobody in so ends it, and nothing is said of the keyframe") {
  for (const auto status : {http::status::unauthorized, http::status::forbidden}) {
    small_service service({{status, R"({"reason":"a token is needed"})"}});
    auto out = make_publisher(service.url(), {}, {});
    verdict last;
    CHECK_THROWS_WITH(out->offer(some_keyframe("a"), [&](const verdict& v) { last = v; }), Catch::Contains("a token is needed")
                                                                                             && Catch::Contains("TESSERA_TOKEN")
                                                                                             && Catch::Contains("?token=TOKEN"));
    CHECK(last.what == outcome::not_now);
    CHECK(out->so_far().refused == 0);
  }
}

TEST_CASE("over HTTP keyframes are taken back and moved, through shared memory they cannot be") {
  small_service service({{http::status::ok, R"({"outcome":"accepted"})"},
                         {http::status::service_unavailable, ""},
                         {http::status::ok, R"({"outcome":"accepted"})"},
                         {http::status::not_found, R"({"reason":"there is no such keyframe"})"},
                         {http::status::bad_request, R"({"reason":"pose is not rigid"})"}});
  publish_options o;
  o.token = "secret";
  auto out = make_publisher(service.url(), o, {});
  verdict last;
  auto keep = [&](const verdict& v) { last = v; };
  pose moved;
  moved.m[7] = 2.5f;
  out->offer(retraction{{"kf/1"}}, keep);
  CHECK(last.what == outcome::accepted);
  out->offer(revision{{"kf/1"}, moved}, keep);
  CHECK(last.what == outcome::accepted);
  out->offer(retraction{{"gone"}}, keep);
  CHECK(last.what == outcome::unknown);
  out->offer(revision{{"kf/1"}, {}}, keep);
  CHECK(last.what == outcome::refused);
  CHECK_THAT(last.reason, Catch::Contains("not rigid"));
  service.finish();
  REQUIRE(service.requests.size() == 5);
  CHECK(service.requests[0].method() == http::verb::delete_);
  CHECK(service.requests[0].target() == "/v1/keyframes/kf%2F1");
  CHECK(service.requests[0][http::field::authorization] == "Bearer secret");
  for (size_t i : {1u, 2u}) {
    const auto& r = service.requests[i];
    CHECK(r.method() == http::verb::put);
    CHECK(r.target() == "/v1/keyframes/kf%2F1/pose");
    CHECK(r[http::field::content_type] == "application/json");
    CHECK(nlohmann::json::parse(r.body()) == nlohmann::json{{"pose", moved.m}});
  }

  auto segments = make_publisher("shm:" + testing::shm_name::own_prefix(), {}, {});
  segments->offer(retraction{{"a"}}, keep);
  CHECK(last.what == outcome::refused);
  segments->offer(revision{{"a"}, moved}, keep);
  CHECK(last.what == outcome::refused);
  CHECK_THAT(last.reason, Catch::Contains("http://"));
}

TEST_CASE("a correction of many is posted as one, and through shared memory it cannot be said") {
  small_service service({{http::status::service_unavailable, R"({"outcome":"not_now","moved":1})"},
                         {http::status::ok, R"({"outcome":"accepted","moved":2})"},
                         {http::status::unprocessable_entity, R"({"reason":"revisions[0]: transform is no pose"})"}});
  auto out = make_publisher(service.url(), {}, {});
  verdict last;
  const auto keep = [&](const verdict& v) { last = v; };
  pose moved;
  moved.m[7] = 2.5f;
  const correction many{{{{"a", "monday"}, {}, moved, 3}, {{}, "upstairs", moved, 4}}};
  out->correct(many, keep);
  CHECK(last.what == outcome::accepted);
  out->correct(many, keep);
  CHECK(last.what == outcome::refused);
  CHECK_THAT(last.reason, Catch::Contains("no pose"));
  CHECK(out->so_far().refused == 1);
  service.finish();
  REQUIRE(service.requests.size() == 3);
  for (const auto& r : service.requests) {
    CHECK(r.method() == http::verb::post);
    CHECK(r.target() == "/v1/keyframes:revise");
    CHECK(r[http::field::content_type] == "application/msgpack");
    const auto back = read_revisions_body(std::as_bytes(std::span(r.body())), true);
    REQUIRE(back.entries.size() == 2);
    CHECK(back.entries[0].id == many.entries[0].id);
    CHECK(back.entries[1].group == "upstairs");
    CHECK(back.entries[1].to == moved);
    CHECK(back.entries[1].number == 4u);
  }
  auto segments = make_publisher("shm:" + testing::shm_name::own_prefix(), {}, {});
  segments->correct(many, keep);
  CHECK(last.what == outcome::refused);
  CHECK_THAT(last.reason, Catch::Contains("http://"));
}

TEST_CASE("a service that is busy or hangs up is asked again, one that refuses is believed") {
  small_service service({{http::status::service_unavailable, ""},
                         {http::status::ok, "", true},
                         {http::status::bad_gateway, "<html>the proxy's own</html>"},
                         {http::status::gateway_timeout, ""},
                         {http::status::request_timeout, ""},
                         {http::status::ok, ""},
                         {http::status::unprocessable_entity, R"({"reason":"pose is not rigid"})"}});
  auto out = make_publisher(service.url(), {}, {});
  CHECK(offered(*out, some_keyframe("a")).what == outcome::accepted);
  auto v = offered(*out, some_keyframe("b"));
  CHECK(v.what == outcome::refused);
  CHECK_THAT(v.reason, Catch::Contains("422") && Catch::Contains("not rigid"));
  service.finish();
  CHECK(service.requests.size() == 7);
}

TEST_CASE("nobody there: the keyframe stays with its source after patience, at once when stopped") {
  publish_options o;
  o.patience = std::chrono::seconds(0);
  // Port 9 (discard) of this machine: nobody listens.
  CHECK(offered(*make_publisher("http://127.0.0.1:9", o, {}), some_keyframe("a")).what == outcome::not_now);
  auto broker = make_publisher("amqp://u:hunter2@127.0.0.1:9", o, {});
  CHECK(offered(*broker, some_keyframe("a")).what == outcome::not_now);
  CHECK(offered(*broker, some_keyframe("a")).what == outcome::not_now);
  CHECK(broker->so_far().undelivered == 1);
  CHECK(broker->so_far().refused == 0);
  o.patience = std::chrono::hours(1);
  std::stop_source stop;
  stop.request_stop();
  auto v = offered(*make_publisher("amqp://u:hunter2@127.0.0.1:9", o, stop.get_token()), some_keyframe("a"));
  CHECK(v.what == outcome::not_now);
  CHECK_THAT(v.reason, !Catch::Contains("hunter2"));
}

TEST_CASE("an unknown place to publish to is answered with those there are") {
  for (const char* url : {"", "ftp://x", "shm:", "amqpx://u:hunter2@h"})
    try {
      make_publisher(url, {}, {});
      FAIL("accepted");
    } catch (const std::invalid_argument& e) {
      CHECK_THAT(e.what(), Catch::Contains("amqp://") && Catch::Contains("http://HOST:PORT") && !Catch::Contains("hunter2"));
    }
  for (const char* url :
       {"http://", "http://:80", "http://h:", "http://h:8x", "http://u:p@h:80", "http://[::1", "http://h:80/?hunter2",
        "http://h:80/?token=hunter2&x=1", "http://h:80?token=hunter2%zz", "http://h:80/?token=hunter2%20"})
    CHECK_THROWS_WITH(make_publisher(url, {}, {}), !Catch::Contains("hunter2"));
  publish_options o;
  o.token = "two words";
  CHECK_THROWS_AS(make_publisher("http://h:80", o, {}), std::invalid_argument);
}

/// Takes connections and says nothing: a host behind a firewall, a frozen process.
class black_hole {
public:
  [[nodiscard]] std::string authority() const { return "127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()); }

private:
  boost::asio::io_context io_;
  tcp::acceptor acceptor_{io_, tcp::endpoint(boost::asio::ip::make_address("127.0.0.1"), 0)};
};

TEST_CASE("a publisher that gets no answer can be stopped") {
  black_hole hole;
  for (const char* scheme : {"http://", "amqp://u:p@", "amqps://u:p@"}) {
    INFO(scheme);
    std::stop_source stop;
    publish_options o;
    o.patience = std::chrono::hours(1);
    std::jthread later([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      stop.request_stop();
    });
    auto v = offered(*make_publisher(scheme + hole.authority(), o, stop.get_token()), some_keyframe("a"));
    CHECK(v.what == outcome::not_now);
  }
}

TEST_CASE("an amqp source that gets no answer can be stopped, and says what its trouble is") {
  black_hole hole;
  testing::recording_sink sink;
  auto from = make_source("amqp://u:p@" + hole.authority(), {});
  CHECK(from->trouble().empty()); // it does not run yet
  std::jthread listening([&](std::stop_token stop) { from->run(sink, stop); });
  for (int i = 0; i < 24'000 && from->trouble().empty(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  CHECK_FALSE(from->trouble().empty());
  listening.request_stop();
  listening.join();
}

TEST_CASE("a file for TLS that will not do is named at the start") {
  testing::recording_sink sink;
  black_hole hole;
  const auto dir = std::filesystem::temp_directory_path();
  source_options o;
  o.amqp.tls.ca_file = (dir / "tessera-no-such-file.pem").string();
  CHECK_THROWS_WITH(make_source("amqps://" + hole.authority(), o)->run(sink, {}),
                    Catch::Contains("amqp-ca") && Catch::Contains("tessera-no-such-file.pem") && Catch::Contains("No such file"));
  o.amqp.tls.ca_file = "/proc/self/cmdline";
  CHECK_THROWS_WITH(make_source("amqps://" + hole.authority(), o)->run(sink, {}),
                    Catch::Contains("/proc/self/cmdline") && Catch::Contains("PEM"));
}

TEST_CASE("an amqp source that is stopped while the broker is away ends at once") {
  testing::recording_sink sink;
  source_options o;
  std::jthread listening([&](std::stop_token stop) { make_source("amqp://u:p@127.0.0.1:9", o)->run(sink, stop); });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  listening.request_stop();
  listening.join();
  CHECK(sink.frames().empty());
}
