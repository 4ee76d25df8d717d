#include "net/commands/record_command.hpp"

#include "net/commands/offline.hpp"
#include "tests/net/sources/recording_files.hpp"

#include <catch2/catch.hpp>

#include <iostream>
#include <sstream>

using namespace tessera;
using namespace tessera::testing;

namespace {

/// Gathers the keyframes of a small scan.
std::vector<map_input> a_scan() {
  source_options options;
  options.synthetic.width = options.synthetic.height = 24;
  options.synthetic.keyframes = 5;
  input_sink out;
  make_source("synthetic:room", options)->run(out, {});
  return std::move(out.inputs);
}

std::string hash_of(const recording_path& file) {
  offline_setup setup;
  setup.source = "recording:" + file.text();
  setup.threads = 2;
  setup.backend.name = "cpu";
  std::ostringstream out;
  CHECK(hash_command(setup, out) == 0);
  return out.str();
}

} // namespace

TEST_CASE("Of a recording a keyframe of an id that was there with other content is told from one that comes again") {
  auto all = a_scan();
  auto other = std::get<keyframe>(all[1]);
  other.id = std::get<keyframe>(all[0]).id;
  const recording_path file;
  record(file, {all[0], other, all[0]});
  std::ostringstream said;
  auto* const before = std::cerr.rdbuf(said.rdbuf());
  const auto digits = hash_of(file);
  std::cerr.rdbuf(before);
  CHECK(digits.find("keyframes=1 ") != std::string::npos);
  CHECK_THAT(said.str(), Catch::Contains("1 keyframe came again with the same content")
                           && Catch::Contains("1 keyframe had the id of an earlier one with other content"));
}

TEST_CASE("The map of a recording is that of what was left when it ended") {
  auto all = a_scan();
  const auto last = [&](size_t i) -> keyframe& { return std::get<keyframe>(all[i]); };
  const auto right = last(1).world_from_camera;
  auto crooked = right;
  crooked.m[3] += 0.5f;
  const auto gone = last(2).id;

  const recording_path straight("straight"), winding("winding");
  auto left = all;
  left.erase(left.begin() + 2);
  record(straight, left);

  // Comes, moves away and back, goes, comes twice and goes: what is live at the end is the same.
  std::vector<map_input> way{all[2], all[1],           revision{last(1).id, crooked}, retraction{gone}, all[0], all[3], all[2],
                             all[2], retraction{gone}, revision{last(1).id, right},   all[4],           all[4]};
  record(winding, way, mcap::packing::zstd);
  CHECK(hash_of(winding) == hash_of(straight));

  way.pop_back();
  way.erase(way.end() - 2); // and is another without the way back
  const recording_path away("away");
  record(away, way);
  CHECK(hash_of(away) != hash_of(straight));
}

TEST_CASE("What a map would refuse is not recorded, and makes the exit code 1") {
  const recording_path from("from"), to("to");
  auto bad = a_keyframe(1);
  bad.world_from_camera.m[0] = 7; // no rotation
  record(from, {a_keyframe(0), bad});
  record_setup setup;
  setup.sources = {"recording:" + from.text()};
  setup.file = to.text();
  CHECK(record_command(setup, {}) == 1);
  CHECK(same(played(to).inputs, {a_keyframe(0)}));
}

TEST_CASE("Several sources are recorded into one file") {
  const recording_path a("a"), b("b"), to("to");
  record(a, {a_keyframe(0), a_keyframe(1)});
  record(b, {a_keyframe(2), retraction{a_keyframe(2).id}});
  record_setup setup;
  setup.sources = {"recording:" + a.text(), "recording:" + b.text()};
  setup.file = to.text();
  CHECK(record_command(setup, {}) == 0);
  CHECK(played(to).inputs.size() == 4);
}

TEST_CASE("A stop ends a recording well, with nothing in it too") {
  const recording_path to;
  record_setup setup;
  setup.sources = {"shm:/tessera_test_nobody_"};
  setup.file = to.text();
  std::stop_source stop;
  stop.request_stop();
  CHECK(record_command(setup, stop.get_token()) == 0);
  CHECK(played(to).inputs.empty());
}

TEST_CASE("Sources that end without anything are a failure") {
  const recording_path from("from"), to("to");
  record(from, {});
  record_setup setup;
  setup.sources = {"recording:" + from.text()};
  setup.file = to.text();
  CHECK(record_command(setup, {}) == 1);
}
