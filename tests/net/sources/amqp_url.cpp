#include "net/sources/amqp/amqp_url.hpp"

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
  a = parse_amqp_url("amqp://us%C3%A9r:p%c3%a4ss@h/k%C3%A4rte");
  CHECK(a.user == "us\xc3\xa9r");
  CHECK(a.password == "p\xc3\xa4ss");
  CHECK(a.vhost == "k\xc3\xa4rte");
  a = parse_amqp_url("amqp://[::1]:99/x");
  CHECK(a.host == "::1");
  CHECK(a.port == 99);
}

TEST_CASE("a bad address is refused, and the password never shown") {
  for (const char* bad : {"", "http://h", "amqp://", "amqps://", "amqp://u:hunter2@", "amqp://u:hunter2@h:0",
                          "amqp://u:hunter2@h:70000", "amqp://u:hunter2@h:12x", "amqp://u:hunter2@h:", "amqp://u:hunter2@h/a/b",
                          "amqp://u:hunter2%@h", "amqp://u:hunter2%zz@h", "amqp://u:hunter2% 5@h", "amqp://u:hunter2@h:+5",
                          "amqp://u:hunter2%00@h", "amqp://u:hunter2@[::1", "amqp://u:hunter2@[::1]x"}) {
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

TEST_CASE("amqps is TLS, with files from the settings or from what follows the question mark") {
  CHECK_FALSE(parse_amqp_url("amqp://h", {.ca_file = "/ca.pem"}).tls);
  auto a = parse_amqp_url("amqps://me@h/maps", {.ca_file = "/ca.pem"});
  REQUIRE(a.tls);
  CHECK(a.port == 5671);
  CHECK(a.vhost == "maps");
  CHECK(a.tls->ca_file == "/ca.pem");
  CHECK_FALSE(a.tls->insecure);
  CHECK(a.shown() == "amqps://me@h:5671/maps");
  a = parse_amqp_url("amqps://h:99?cacertfile=%2Fa%20b&certfile=/c&keyfile=/k&verify=verify_none&heartbeat=30",
                     {.ca_file = "/ca.pem"});
  REQUIRE(a.tls);
  CHECK(a.port == 99);
  CHECK(a.tls->ca_file == "/a b");
  CHECK(a.tls->certificate_file == "/c");
  CHECK(a.tls->key_file == "/k");
  CHECK(a.tls->insecure);
  CHECK(a.heartbeat_s == 30);
  CHECK_FALSE(parse_amqp_url("amqps://h/?verify=verify_peer", {.insecure = true}).tls->insecure);
  CHECK(parse_amqp_url("amqp://u:a?b@h").password == "a?b");
  CHECK(parse_amqp_url("amqps://h?cafile=/x").tls->ca_file == "/x"); // as aio-pika writes it
  CHECK(parse_amqp_url("amqp://h?heartbeat=5").heartbeat_s == 5);
}

TEST_CASE("what follows the question mark is refused where it makes no sense") {
  for (const char* bad :
       {"amqp://u:hunter2@h?cacertfile=/x", "amqps://u:hunter2@h?heartbeat=0", "amqps://u:hunter2@h?heartbeat=601",
        "amqps://u:hunter2@h?verify=maybe", "amqps://u:hunter2@h?certfile=/c", "amqps://u:hunter2@h?keyfile=/k",
        "amqps://u:hunter2@h?hunter2=1", "amqp://u:a@b?hunter2&x@h"}) {
    INFO(bad);
    CHECK_THROWS_WITH(parse_amqp_url(bad), !Catch::Contains("hunter2"));
  }
}
