#include "running_server.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::test;

TEST_CASE("Requests on one connection are answered in order") {
  running_server s;
  client c{s.http->port()};
  std::string both = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v1/map HTTP/1.1\r\nHost: localhost\r\n\r\n";
  c.send(both + both + "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  for (int i = 0; i < 2; ++i) {
    CHECK(c.receive().body == "ok\n");
    CHECK(c.receive().json().contains("hash"));
  }
  CHECK(c.receive().has("Connection: close"));
  CHECK(c.ended());
}

TEST_CASE("What is not HTTP is told so, and ends") {
  running_server s;
  auto port = s.http->port();
  for (std::string raw : {std::string("\x16\x03\x01\x02\x00\x01\x00", 7), std::string("GET / HTTP/9.9\r\n\r\n"),
                          std::string(10'000, '\0'), "GET /" + std::string(100'000, 'a') + " HTTP/1.1\r\n\r\n",
                          "GET / HTTP/1.1\r\n" + std::string(40'000, 'A') + ": b\r\n\r\n"}) {
    client c{port};
    c.try_send(raw);
    auto status = c.receive().status;
    CHECK((status == 400 || status == 431 || status == 0));
    CHECK(get(port, "/healthz").status == 200);
  }
  client half{port};
  half.send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\n" + keyframe_headers
            + "Content-Length: 1000000\r\n\r\nhalf of it");
  half.end_of_sending();
  CHECK(half.ended());
  client bad_chunk{port};
  bad_chunk.send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n" + keyframe_headers
                 + "\r\nzz\r\n");
  CHECK(bad_chunk.receive().status == 400);
  CHECK(s.sink.offered().empty());
}

TEST_CASE("Who says too little too slowly is dropped") {
  running_server s{[](server_config& c) {
    c.timeouts.idle = std::chrono::milliseconds{150};
    c.timeouts.progress = std::chrono::milliseconds{150};
  }};
  client silent{s.http->port()}, slow{s.http->port()}, stuck{s.http->port()};
  slow.try_send("GET / HT"); // on a busy machine it may be dropped before
  stuck.try_send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\n" + keyframe_headers + "Content-Length: 100\r\n\r\nsome");
  CHECK(silent.ended());
  CHECK(slow.ended());
  CHECK(stuck.ended());
}

TEST_CASE("One client has half of the connections, and what is beyond is turned away") {
  running_server s{[](server_config& c) { c.max_connections = 5; }};
  const auto port = s.http->port();
  const auto is_served = [](client& one) {
    one.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    return one.receive().status == 200;
  };
  {
    client a{port}, b{port}, c{port};
    for (auto* one : {&a, &b, &c})
      CHECK(is_served(*one));
    client beyond{port};
    CHECK(beyond.receive().status == 503);
    client d{port, "127.0.0.2"}, e{port, "127.0.0.3"}; // others
    for (auto* one : {&d, &e})
      CHECK(is_served(*one));
    client full{port, "127.0.0.4"};
    CHECK(full.receive().status == 503);
    client watching{s.http->metrics_port()}; // it is seen on the metrics port
    CHECK(is_served(watching));
  }
  CHECK(eventually([&] { return get(port, "/healthz").status == 200; }));
}

TEST_CASE("A token guards everything but health and pages") {
  running_server s{[](server_config& c) { c.token = "open sesame"; }};
  auto port = s.http->port();
  CHECK(get(port, "/").status == 200);
  CHECK(get(port, "/healthz").status == 200);
  auto refused = get(port, "/v1/map");
  CHECK(refused.status == 401);
  CHECK(refused.has("WWW-Authenticate: Bearer"));
  CHECK(get(port, "/v1/map", "Authorization: Bearer wrong\r\n").status == 401);
  CHECK(get(port, "/v1/map", "Authorization: Bearer open sesame\r\n").status == 200);
  CHECK(get(port, "/v1/map?token=open%20sesame").status == 200);
  CHECK(request(port, "POST", "/v1/keyframes", keyframe_headers, "12345").status == 401);
  CHECK(request(port, "POST", "/v1/keyframes", keyframe_headers + "Authorization: Bearer open sesame\r\n", "12345").status
        == 200);
}

TEST_CASE("Other sites' pages cannot reach a server without a token") {
  running_server s;
  auto port = s.http->port();
  CHECK(request(port, "POST", "/v1/keyframes", keyframe_headers + "Origin: https://elsewhere.example\r\n", "12345").status
        == 403);
  CHECK(request(port, "DELETE", "/v1/keyframes/a", "Origin: null\r\n", "").status == 403);
  client rebound{port};
  rebound.send("GET /v1/map HTTP/1.1\r\nHost: rebound.example\r\n\r\n");
  CHECK(rebound.receive().status == 403);
  CHECK(s.sink.offered().empty());
}

TEST_CASE("Starting in the open, or where somebody listens, fails with what to do") {
  running_server s;
  auto start = [&](auto change) {
    server_config config;
    config.port = config.metrics_port = 0;
    change(config);
    server{s.system, s.running, s.sink, config};
  };
  CHECK_THROWS_WITH(start([](server_config& c) { c.bind = "0.0.0.0"; }), Catch::Contains("--token"));
  CHECK_THROWS_WITH(start([](server_config& c) { c.bind = "here"; }), Catch::Contains("here"));
  CHECK_NOTHROW(start([](server_config& c) { c.bind = "localhost"; }));
  CHECK_THROWS_WITH(start([&](server_config& c) { c.port = s.http->port(); }), Catch::Contains("--port"));
  CHECK_THROWS_WITH(start([&](server_config& c) { c.metrics_port = s.http->port(); }), Catch::Contains("--metrics-port"));
  CHECK_NOTHROW(start([](server_config& c) {
    c.bind = "0.0.0.0";
    c.token = "t";
  }));
}

TEST_CASE("Stopping ends idle connections, and can be done twice") {
  running_server s;
  client idle{s.http->port()};
  idle.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(idle.receive().status == 200);
  s.http->stop();
  CHECK(idle.ended());
  s.http->stop();
  CHECK(s.http->port() != 0);
}

TEST_CASE("Many idle connections cost little and disturb nobody") {
  running_server s{[](server_config& c) { c.max_connections = 5000; }};
  std::vector<std::unique_ptr<client>> crowd;
  for (int i = 0; i < 400; ++i)
    crowd.push_back(std::make_unique<client>(s.http->port()));
  CHECK(get(s.http->port(), "/v1/map").status == 200);
  CHECK_THAT(get(s.http->metrics_port(), "/metrics").body, Catch::Contains("tessera_http_connections 40"));
}
