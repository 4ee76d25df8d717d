// A length that is damaged at the end of the journal's log: RocksDB would take it for a write that was cut off.

#include "journal_folder.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::toy;

namespace {

/// Where the records of a log of one block begin, and its end.
std::vector<size_t> places_of_records(const std::string& log) {
  constexpr size_t header_bytes = 7;
  std::vector<size_t> out{0};
  while (out.back() + header_bytes <= log.size()) {
    const auto* at = reinterpret_cast<const unsigned char*>(&log[out.back()]);
    out.push_back(out.back() + header_bytes + at[4] + (size_t{at[5]} << 8));
  }
  return out;
}

/// A journal of so many keyframes, each a record in the first block of its log.
void put_small(const std::string& path, uint32_t count) {
  const auto store = open_store(path);
  for (uint32_t i = 0; i < count; ++i)
    put(*store, whole(std::to_string(i), 50, i));
}

} // namespace

TEST_CASE("a length that is damaged at the log's end is named, and what came before can be salvaged") {
  const temporary_folder folder;
  const auto path = folder / "j";
  constexpr uint32_t count = 4;
  put_small(path, count);
  const auto log = files_of(path, ".log").back();
  const auto good = content_of(log);
  const auto places = places_of_records(good);
  REQUIRE(good.size() < 32768);
  REQUIRE(places.back() == good.size());
  REQUIRE(places.size() > count);
  for (uint32_t kept = 0; kept < count; ++kept) {
    CAPTURE(kept);
    const auto copy = folder / std::to_string(kept);
    std::filesystem::copy(path, copy);
    auto bad = good;
    bad[places[places.size() - 1 - count + kept] + 5] ^= 0x40; // its length is 16 KiB more
    std::ofstream{copy + log.substr(path.size()), std::ios::binary} << bad;
    for (const auto how : {journal::access::look, journal::access::serve})
      CHECK(
        says(told([&] { const journal opened(copy, journal_memory, how); }), {copy.c_str(), "is damaged", ".log", "salvage"}));
    { const journal saved{copy, journal_memory, journal::access::salvage}; }
    CHECK(open_store(copy)->usage().keyframes == kept);
  }
}

TEST_CASE("a log that was cut off anywhere is no damage") {
  const temporary_folder folder;
  const auto path = folder / "j";
  put_small(path, 3);
  const auto log = files_of(path, ".log").back();
  const auto places = places_of_records(content_of(log));
  for (auto size = places[places.size() - 2]; size < places.back(); size += 97) {
    CAPTURE(size);
    const auto copy = folder / std::to_string(size);
    std::filesystem::copy(path, copy);
    std::filesystem::resize_file(copy + log.substr(path.size()), size);
    CHECK(open_store(copy)->usage().keyframes == 2);
  }
}
