#include "running_server.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::test;

TEST_CASE("A body of several pieces, also chunked, arrives whole") {
  running_server s;
  std::string body(300'000, 'x');
  body += "end";
  CHECK(request(s.http->port(), "POST", "/v1/keyframes", keyframe_headers, body).status == 200);
  client c{s.http->port()};
  c.send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Type: "
         "application/vnd.tessera.keyframe\r\n"
         "X-Keyframe-Id: chunked\r\n\r\n");
  for (int i = 0; i < 3; ++i)
    c.send("186a0\r\n" + std::string(100'000, 'y') + "\r\n");
  c.send("0\r\n\r\n");
  CHECK(c.receive().status == 200);
  auto offered = s.sink.offered();
  REQUIRE(offered.size() == 2);
  CHECK(offered[0].body->colours().size() == body.size());
  CHECK(offered[0].body->colours().back() == 'd');
  CHECK(offered[1].body->colours().size() == 300'000);
}

TEST_CASE("A client that asks first is told to go on") {
  running_server s;
  client c{s.http->port()};
  c.send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\n" + keyframe_headers
         + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  CHECK(c.receive().status == 100);
  c.send("12345");
  CHECK(c.receive().status == 200);
}

TEST_CASE("A body that grows past the limit is cut off, whatever it announced") {
  running_server s;
  client c{s.http->port()};
  c.send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n" + keyframe_headers + "\r\n");
  auto chunk = "10000\r\n" + std::string(0x10000, 'x') + "\r\n";
  for (int i = 0; i < 20; ++i)
    c.try_send(chunk);
  CHECK(c.receive().status == 413);
  for (const char* length : {"18446744073709551615", "-1", "1e3"}) {
    client d{s.http->port()};
    d.send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\n" + keyframe_headers + "Content-Length: " + length + "\r\n\r\n");
    auto status = d.receive().status;
    CHECK((status == 400 || status == 413));
  }
  CHECK(s.sink.offered().empty());
}

TEST_CASE("A body in pieces has the limit of what it is for") {
  running_server s{[](server_config& c) { c.body_limit = 64 << 20; }};
  client c{s.http->port()};
  c.send("PUT /v1/keyframes/a/pose HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
         "Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n");
  const std::string zeros(4094, '0');
  int sent = 0;
  while (sent < 6000 && c.try_send("1000\r\n" + zeros + ",\n\r\n"))
    ++sent;
  auto answer = c.receive();
  CHECK((answer.status == 413 || answer.status == 0)); // the answer may be lost to one who does not listen
  client small{s.http->port()};
  small.send("PUT /v1/keyframes/a/pose HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
             "Transfer-Encoding: chunked\r\n\r\n20000\r\n");
  answer = small.receive();
  CHECK(answer.status == 413);
  CHECK_THAT(answer.json()["reason"].get<std::string>(), Catch::Contains("8192"));
  client nothing{s.http->port()};
  nothing.send("DELETE /v1/keyframes/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  CHECK(nothing.receive().status == 400);
}

TEST_CASE("Any body limit lets bodies up to it in") {
  for (uint64_t limit : {uint64_t{1}, uint64_t{4}, uint64_t{1000}, uint64_t{4096}, uint64_t{16'383}, uint64_t{65'537}}) {
    running_server s{[&](server_config& c) {
      c.body_limit = limit;
      c.parse_keyframe = [](const std::string& id, uint64_t, std::vector<std::byte> body) {
        keyframe out;
        out.id.value = id + "-" + std::to_string(body.size());
        out.body = std::make_shared<owned_keyframe_body>();
        return out;
      };
    }};
    INFO(limit);
    const std::string body(limit, 'x');
    CHECK(request(s.http->port(), "POST", "/v1/keyframes", keyframe_headers, body).status == 200);
    CHECK(request(s.http->port(), "POST", "/v1/keyframes", keyframe_headers, body + 'x').status == 413);
    for (size_t piece : {limit, uint64_t{1} + limit / 3}) {
      client c{s.http->port()};
      c.send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Type: "
             "application/vnd.tessera.keyframe\r\nX-Keyframe-Id: p"
             + std::to_string(piece) + "\r\n\r\n");
      for (size_t at = 0; at < limit; at += piece) {
        char size[32];
        const auto n = std::min<size_t>(piece, limit - at);
        std::snprintf(size, sizeof size, "%zx\r\n", n);
        c.send(size + std::string(n, 'y') + "\r\n");
      }
      c.send("0\r\n\r\n");
      CHECK(c.receive().status == 200);
      REQUIRE_FALSE(s.sink.offered().empty());
      CHECK(s.sink.offered().back().id.value == "p" + std::to_string(piece) + "-" + std::to_string(limit));
    }
  }
}

TEST_CASE("Bodies that hardly come keep nobody out") {
  running_server s;
  std::vector<std::unique_ptr<client>> crowd;
  for (int i = 0; i < 300; ++i) {
    crowd.push_back(std::make_unique<client>(s.http->port()));
    crowd.back()->send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\n" + keyframe_headers
                       + (i % 2 == 0 ? "Content-Length: 1000000\r\n\r\nx" : "Transfer-Encoding: chunked\r\n\r\n1\r\nx"));
  }
  CHECK(request(s.http->port(), "POST", "/v1/keyframes", keyframe_headers, std::string(1'000'000, 'x')).status == 200);
}

TEST_CASE("Bodies that hardly move keep no producer out, not even at the same address") {
  running_server s{[](server_config& c) { c.body_limit = 1 << 20; }};
  const auto head = "POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\n" + keyframe_headers + "Content-Length: ";
  std::vector<std::unique_ptr<client>> slow;
  for (int i = 0; i < 80; ++i) { // a client's half are 8 MiB
    slow.push_back(std::make_unique<client>(s.http->port()));
    slow.back()->try_send(head + "1000000\r\n\r\n" + std::string(100'000, 'x'));
  }
  // At first they may be about to go on. Once they have been slow for a while, the slowest goes.
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds{120};
  client::answer answer;
  do {
    client good{s.http->port()};
    good.send(head + "500000\r\n\r\n");
    good.try_send(std::string(500'000, 'x'));
    answer = good.receive();
  } while (answer.status == 503 && std::chrono::steady_clock::now() < give_up);
  CHECK(answer.status == 200);
  answer = slow.front()->receive();
  CHECK(answer.status == 503);
  CHECK(answer.has("Retry-After"));
  CHECK_THAT(answer.json()["reason"].get<std::string>(), Catch::Contains("too slowly"));
}

TEST_CASE("No byte of a request that is refused is read as another") {
  running_server s;
  const std::string smuggled = "DELETE /v1/keyframes/a HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const std::string post = "POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\n" + keyframe_headers;
  for (std::string framing : {"Transfer-Encoding: identity",
                              "Transfer-Encoding: gzip",
                              "Transfer-Encoding: gzip, chunked",
                              "Transfer-Encoding: chunked, identity",
                              "Transfer-Encoding: chunked, chunked",
                              "Transfer-Encoding: xchunked",
                              "Transfer-Encoding: ",
                              "Transfer-Encoding:\r\n chunked",
                              "Transfer-Encoding: chu\r\n nked",
                              "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
                              "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
                              "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                              "Transfer-Encoding: chunked\r\nContent-Length: 5",
                              "Content-Length: 5\r\nTransfer-Encoding: chunked",
                              "Content-Length: 5\r\nTransfer-Encoding: identity",
                              "Transfer-Encoding : chunked",
                              "Transfer-Encoding\r\n: chunked",
                              "Content-Length: 5\r\nContent-Length: 5",
                              "Content-Length: 5, 5",
                              "Content-Length: 5\r\nContent-Length: 6",
                              "Content-Length:\r\n 5",
                              "Content-Length: +5",
                              "Content-Length : 5",
                              "Host: localhost\r\nContent-Length: 5"}) {
    INFO(framing);
    client c{s.http->port()};
    c.send(post + framing + "\r\n\r\n" + smuggled + smuggled);
    const auto answer = c.receive();
    CHECK((answer.status == 400 || answer.status == 501));
    CHECK(answer.has("Connection: close"));
    CHECK_THAT(c.rest(), !Catch::Contains("HTTP/1.1"));
  }
  client old{s.http->port()};
  old.send("POST /v1/keyframes HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n" + keyframe_headers
           + "Transfer-Encoding: chunked\r\n\r\n" + smuggled);
  CHECK(old.receive().status == 400);
  CHECK_THAT(old.rest(), !Catch::Contains("HTTP/1.1"));
  for (std::string refused :
       {"POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\n", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
        "DELETE /v1/map HTTP/1.1\r\nHost: localhost\r\n", "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n"}) {
    INFO(refused);
    client c{s.http->port()};
    c.send(refused + "Content-Length: " + std::to_string(smuggled.size()) + "\r\n\r\n" + smuggled + smuggled);
    CHECK(c.receive().status >= 400);
    CHECK_THAT(c.rest(), !Catch::Contains("HTTP/1.1"));
  }
  CHECK(s.sink.offered().empty());
}

TEST_CASE("An answer arrives although much of the body was on its way") {
  running_server s;
  client c{s.http->port()};
  c.try_send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n" + std::string(4'000'000, 'x'));
  CHECK(c.receive().status == 501);
}

TEST_CASE("A coding of a body's content is refused by name") {
  running_server s;
  auto refused = request(s.http->port(), "POST", "/v1/keyframes", keyframe_headers + "Content-Encoding: gzip\r\n", "12345");
  CHECK(refused.status == 415);
  CHECK(refused.json()["field"] == "Content-Encoding");
  CHECK_THAT(refused.json()["reason"].get<std::string>(), Catch::Contains("gzip"));
  CHECK(request(s.http->port(), "PUT", "/v1/keyframes/a/pose", "Content-Type: application/json\r\nContent-Encoding: br\r\n", "[]")
          .status
        == 415);
  const std::string identity = "Content-Encoding: identity\r\n";
  CHECK(request(s.http->port(), "POST", "/v1/keyframes", keyframe_headers + identity, "12345").status == 200);
  // Also behind one that would do.
  refused = request(s.http->port(), "POST", "/v1/keyframes", keyframe_headers + identity + "Content-Encoding: gzip\r\n", "12345");
  CHECK(refused.status == 415);
  CHECK_THAT(refused.json()["reason"].get<std::string>(), Catch::Contains("gzip"));
}

TEST_CASE("A chunk's header that is too long is called what it is") {
  running_server s;
  for (const char* before : {"5;", "1\r\nx\r\n0\r\nA: "}) {
    INFO(before);
    client c{s.http->port()};
    c.try_send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n" + keyframe_headers + "\r\n"
               + before + std::string(200'000, 'x'));
    const auto refused = c.receive();
    CHECK(refused.status == 400);
    CHECK_THAT(refused.json()["reason"].get<std::string>(), Catch::Contains("chunk"));
  }
}

TEST_CASE("A body has one type") {
  running_server s;
  const auto refused
    = request(s.http->port(), "POST", "/v1/keyframes", keyframe_headers + "Content-Type: application/json\r\n", "12345");
  CHECK(refused.status == 400);
  CHECK(refused.json()["field"] == "Content-Type");
}
