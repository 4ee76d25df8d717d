#include "net/sources/source.hpp"

#include <catch2/catch.hpp>

#include <stdexcept>

using namespace tessera;

TEST_CASE("an unknown source is answered with those there are") {
  for (const char* uri : {"", "synthetic", "synthetic:", "file:x", "amqps://u:hunter2@h", "rgbd", "rgbd:"}) {
    INFO(uri);
    try {
      make_source(uri, {});
      FAIL("accepted");
    } catch (const std::invalid_argument& e) {
      CHECK_THAT(e.what(), Catch::Contains("synthetic:room") && Catch::Contains("rgbd:DIR") && Catch::Contains("shm:/PREFIX")
                             && Catch::Contains("amqp://"));
      CHECK_THAT(e.what(), !Catch::Contains("hunter2"));
    }
  }
}

TEST_CASE("a broker's source shows where it listens, without the password") {
  auto s = make_source("amqp://me:hunter2@localhost:5673/maps", {});
  CHECK(s->kind() == "amqp");
  CHECK(s->where() == "amqp://me@localhost:5673/maps");
  source_options o;
  o.prefetch = 0;
  CHECK_THROWS_WITH(make_source("amqp://localhost", o), Catch::Contains("prefetch is 0"));
}
