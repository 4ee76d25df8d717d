#include "net/sources/amqp_url.hpp"

#include <catch2/catch.hpp>

#include <stdexcept>

using namespace tessera;

TEST_CASE("a broker's address is read with all that may be missing") {
  auto a = parse_amqp_url("amqp://me:secret@broker.example:5673/maps");
  CHECK(a.user == "me");
  CHECK(a.password == "secret");
  CHECK(a.host == "broker.example");
  CHECK(a.port == 5673);
  CHECK(a.vhost == "maps");
  a = parse_amqp_url("amqp://localhost");
  CHECK(a.user == "guest");
  CHECK(a.password == "guest");
  CHECK(a.port == 5672);
  CHECK(a.vhost == "/");
  CHECK(parse_amqp_url("amqp://localhost/").vhost == "/");
  CHECK(parse_amqp_url("amqp://localhost/%2F").vhost == "/");
  CHECK(parse_amqp_url("amqp://localhost/a%2fb").vhost == "a/b");
  a = parse_amqp_url("amqp://a%40b:p%3Aw%2f%25@h/");
  CHECK(a.user == "a@b");
  CHECK(a.password == "p:w/%");
  a = parse_amqp_url("amqp://[::1]:99/x");
  CHECK(a.host == "::1");
  CHECK(a.port == 99);
}

TEST_CASE("a bad address is refused, and the password never shown") {
  for (const char* bad : {"", "http://h", "amqp://", "amqp://u:hunter2@", "amqp://u:hunter2@h:0", "amqp://u:hunter2@h:70000",
                          "amqp://u:hunter2@h:12x", "amqp://u:hunter2@h:", "amqp://u:hunter2@h/a/b", "amqp://u:hunter2%@h",
                          "amqp://u:hunter2%zz@h", "amqp://u:hunter2%00@h", "amqp://u:hunter2@[::1", "amqp://u:hunter2@[::1]x"}) {
    INFO(bad);
    try {
      parse_amqp_url(bad);
      FAIL("accepted");
    } catch (const std::invalid_argument& e) {
      CHECK(std::string(e.what()).find("hunter2") == std::string::npos);
    }
  }
  CHECK(parse_amqp_url("amqp://me:hunter2@h:1/v").shown() == "amqp://me@h:1/v");
  CHECK(parse_amqp_url("amqp://me:hunter2@[::1]").shown() == "amqp://me@[::1]:5672/");
}

TEST_CASE("an address survives being encoded") {
  for (const char* url : {"amqp://localhost", "amqp://a%40b:p%3Aw%2f%25@h:7/x%2fy", "amqp://[::1]"}) {
    auto a = parse_amqp_url(url), b = parse_amqp_url(a.encoded());
    CHECK(a.user == b.user);
    CHECK(a.password == b.password);
    CHECK(a.host == b.host);
    CHECK(a.port == b.port);
    CHECK(a.vhost == b.vhost);
  }
  CHECK(parse_amqp_url("amqp://localhost/").encoded() == "amqp://guest:guest@localhost:5672/%2F");
}
