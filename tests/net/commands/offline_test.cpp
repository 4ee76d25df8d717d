#include "net/commands/offline.hpp"

#include <catch2/catch.hpp>

using namespace tessera;

TEST_CASE("What came again is told in words, if anything did") {
  offline_counts counts;
  CHECK(repetitions_text(counts).empty());
  counts.duplicates = 2;
  counts.conflicts = 3;
  CHECK(repetitions_text(counts)
        == "2 keyframes came again with the same content, and count once; 3 keyframes had the id of an earlier one with other "
           "content, and were left out");
  counts = {};
  counts.conflicts = 1;
  CHECK(repetitions_text(counts) == "1 keyframe had the id of an earlier one with other content, and was left out");
  counts.kept_out = 2;
  CHECK_THAT(repetitions_text(counts), Catch::EndsWith("; 2 keyframes had been retracted before they came, and stayed out"));
}

TEST_CASE("Only what has no end is ended by a signal, and may bring an id again") {
  offline_setup setup;
  setup.source = "synthetic:room";
  CHECK_FALSE(ending(setup, "hash").is_needed());
  setup.source = "shm:/tessera_test_nobody_";
  const ending end(setup, "hash");
  CHECK(end.is_needed());
  CHECK(end.token().stop_possible());
}

TEST_CASE("A stop ends the wait for a keyframe that tells the voxel size") {
  offline_setup setup;
  setup.source = "shm:/tessera_test_nobody_";
  setup.voxel.emplace();
  std::stop_source stop;
  stop.request_stop();
  CHECK_THROWS_WITH(map_settings_for(setup, stop.get_token()), Catch::Contains("no keyframe"));
}
