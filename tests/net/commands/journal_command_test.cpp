// `tessera journal`: what is not seen from outside without a keyframe that something dies over.

#include "net/commands/journal_command.hpp"

#include "actors/store/journal.hpp"
#include "tests/actors/journal_folder.hpp"

#include <catch2/catch.hpp>

#include <sstream>

using namespace tessera;

TEST_CASE("journal release ends every quarantine, and leaves the keyframes where they are") {
  const toy::temporary_folder all;
  const auto name = all / "journal";
  const quarantined_keyframe one{{"deadly", "monday"}, "shm", "", 5, "the mesher died", 100, 2};
  {
    journal kept{name, 8 << 20};
    kept.write_quarantine({&one}, {});
  }
  std::ostringstream out;
  CHECK(journal_command({.action = "info", .folder = name}, out) == 0);
  CHECK_THAT(out.str(), Catch::Contains("in quarantine: ") && Catch::Contains("the mesher died"));
  out.str("");
  CHECK(journal_command({.action = "release", .folder = name}, out) == 0);
  CHECK_THAT(out.str(), !Catch::Contains("in quarantine"));
  CHECK(journal_command({.action = "release", .folder = name}, out) == 0); // there is nothing to be ended any more
  CHECK(journal(name, 8 << 20).quarantined().empty());
}
