#include "net/sources/source_table.hpp"
#include "recording_sink.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <stdexcept>
#include <utility>

using namespace tessera;

TEST_CASE("an unknown source is answered with those there are") {
  for (const char* uri : {"", "synthetic", "synthetic:", "file:x", "amqpx://u:hunter2@h", "rgbd", "rgbd:"}) {
    INFO(uri);
    try {
      make_source(uri, {});
      FAIL("accepted");
    } catch (const std::invalid_argument& e) {
      CHECK_THAT(e.what(),
                 Catch::EndsWith(": there are synthetic:room, synthetic:building, rgbd:DIR, recording:FILE, shm:/PREFIX and "
                                 "amqp://USER:PASSWORD@HOST:PORT/VHOST (amqps:// for TLS)"));
      CHECK_THAT(e.what(), !Catch::Contains("hunter2"));
    }
  }
}

TEST_CASE("a source whose time is over has given the first keyframe at least") {
  for (const uint32_t threads : {0u, 2u})
    for (const auto& [seconds, wanted] : {std::pair{0.0, 3}, {1e-9, 1}, {1e9, 3}}) {
      INFO(threads << " threads, " << seconds << " s");
      source_options o;
      o.sequence.limit = 3;
      o.sequence.prefetch_threads = threads;
      o.sequence.seconds = seconds;
      testing::recording_sink sink;
      make_source("synthetic:room", o)->run(sink, {});
      CHECK(sink.frames().size() == static_cast<size_t>(wanted));
    }
  for (const double seconds : {-1.0, 2e9, std::nan("")}) {
    source_options o;
    o.sequence.seconds = seconds;
    testing::recording_sink sink;
    CHECK_THROWS_WITH(make_source("synthetic:room", o)->run(sink, {}), Catch::Contains("seconds is"));
  }
}

TEST_CASE("a broker's source shows where it listens, without the password") {
  auto s = make_source("amqp://me:hunter2@localhost:5673/maps", {});
  CHECK(s->kind() == "amqp");
  CHECK(s->where() == "amqp://me@localhost:5673/maps");
  CHECK(make_source("amqps://me:hunter2@localhost/maps", {})->where() == "amqps://me@localhost:5671/maps");
  source_options o;
  o.amqp.prefetch = 0;
  CHECK_THROWS_WITH(make_source("amqp://localhost", o), Catch::Contains("prefetch is 0"));
}
