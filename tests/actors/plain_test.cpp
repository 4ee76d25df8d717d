// The small plain classes that actors are made of.

#include "actors/base/log_limit.hpp"
#include "actors/base/time_histogram.hpp"
#include "actors/regions/mesh_digest.hpp"
#include "actors/supervision/service.hpp"

#include <catch2/catch.hpp>

#include <random>

using namespace tessera;

TEST_CASE("a time histogram tells quantiles within its bucket's width") {
  time_histogram h;
  CHECK(h.quantile_s(0.5) == 0);
  for (int i = 1; i <= 1000; ++i)
    h.record(static_cast<uint64_t>(i) * 1000);
  CHECK(h.count() == 1000);
  CHECK(h.total_s() == Approx(0.5005));
  CHECK(h.quantile_s(0.5) == Approx(500e-6).epsilon(0.13));
  CHECK(h.quantile_s(0.99) == Approx(990e-6).epsilon(0.13));
  CHECK(h.at_most(10) == 1000);
  CHECK(h.at_most(1e-9) == 0);
  for (size_t i = 1; i < time_histogram::buckets; ++i)
    CHECK(time_histogram::upper_s(i) > time_histogram::upper_s(i - 1));
  h.record_alone(0);
  h.record_alone(~0ull);
  CHECK(h.count() == 1002);
}

TEST_CASE("a mesh's digest changes with every array") {
  mesh m;
  m.positions = {1, 2, 3};
  m.normals = {0, 0, 1};
  m.colours = {1, 2, 3};
  m.keys = {7};
  m.indices = {0, 0, 0};
  const auto whole = digest_of(m);
  CHECK(digest_of(mesh{m}) == whole);
  auto differs = [&](auto change) {
    auto other = m;
    change(other);
    return !(digest_of(other) == whole);
  };
  CHECK(differs([](mesh& x) { x.positions[2] = 4; }));
  CHECK(differs([](mesh& x) { x.normals[2] = -1; }));
  CHECK(differs([](mesh& x) { x.colours[2] = 4; }));
  CHECK(differs([](mesh& x) { x.keys[0] = 8; }));
  CHECK(differs([](mesh& x) { x.indices.clear(); }));
  CHECK(differs([](mesh& x) { std::swap(x.positions, x.normals); }));
}

TEST_CASE("the log of set-aside inputs keeps the newest hundred, and counts all by source") {
  aside_log log;
  for (int i = 0; i < 250; ++i)
    log.add(i % 2 == 0 ? "amqp" : "shm", "input " + std::to_string(i), std::string(5000, 'x'));
  for (int i = 0; i < 100; ++i)
    log.add("source " + std::to_string(i), "", "");
  CHECK(log.total() == 350);
  CHECK(log.newest().size() == aside_log::capacity);
  CHECK(log.newest().front().source == "source 99");
  CHECK(log.by_source().at("amqp") == 125);
  CHECK(log.by_source().size() <= aside_log::max_sources + 1);
  log.add("amqp", "", std::string(5000, 'x'));
  CHECK(log.newest().front().reason.size() == aside_log::max_text);
}

TEST_CASE("an input that is set aside is a warning of one line") {
  aside_log log;
  std::vector<std::string> lines;
  log.warn_to([&](severity level, const std::string& text) {
    CHECK(level == severity::warning);
    lines.push_back(text);
  });
  log.add("amqp", "kf\n7", "pose[0][3] is nan, not finite");
  CHECK(lines == std::vector<std::string>{"amqp: kf?7 set aside: pose[0][3] is nan, not finite"});
}

TEST_CASE("a few lines a second are logged, and the next one tells how many were not") {
  log_limit limit;
  log_limit::clock::time_point now{std::chrono::hours{1}};
  uint32_t passed = 0;
  for (int i = 0; i < 100; ++i)
    passed += limit.pass(now).has_value();
  CHECK(passed == log_limit::lines);
  CHECK_FALSE(limit.pass(now + std::chrono::milliseconds{999}));
  CHECK(limit.pass(now + std::chrono::seconds{1}) == 101 - log_limit::lines);
  CHECK(limit.pass(now + std::chrono::seconds{1}) == 0u);

  log_limit a_minute{std::chrono::minutes{1}};
  passed = 0;
  for (int s = 0; s < 60; ++s)
    passed += a_minute.pass(now + std::chrono::seconds{s}).has_value();
  CHECK(passed == log_limit::lines);
  CHECK(a_minute.pass(now + std::chrono::minutes{1}) == 60 - log_limit::lines);
}
