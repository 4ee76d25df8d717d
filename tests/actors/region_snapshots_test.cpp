// Snapshots of regions as files: they come back as they were written, or are known to be of no use.

#include "snapshots.hpp"

#include "actors/store/snapshot_folder.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::toy;

namespace {

constexpr region_key here{3, -1, 0}, there{3, -1, 1};

std::unique_ptr<region_snapshots> open(const std::string& folder, snapshot_options how = {.most_bytes = 1 << 20},
                                       log_function log = {}) {
  how.own_thread = false;
  return std::make_unique<region_snapshots>(folder, std::move(how), std::move(log));
}

shared_snapshot read(region_snapshots& from, const region_key& region) {
  shared_snapshot out;
  auto answers = 0;
  from.read(region, [&](shared_snapshot its) {
    out = std::move(its);
    ++answers;
  });
  CHECK(answers == 1);
  return out;
}

bool holds_image(region_snapshots& in, const region_key& region, const region_image& wanted) {
  const auto its = read(in, region);
  return its && its->head.region == region && same(its->image, without_empty(wanted));
}

} // namespace

TEST_CASE("a snapshot comes back as it was written but for empty blocks, and no damaged byte of it passes") {
  const auto image = some_image(1);
  const snapshot_head head{here, 77, {1, 5, ~0ull}};
  const auto bytes = snapshot_bytes(head, image);
  CHECK(same(read_snapshot(bytes).image, without_empty(image)));
  const auto back = read_snapshot_head(std::span{bytes}.first(snapshot_prefix + snapshot_head_bytes(bytes)));
  CHECK(back.region == here);
  CHECK(back.time_ns == 77);
  CHECK(back.stamps == head.stamps);
  for (size_t length = 0; length < bytes.size(); length += 1 + length / 64)
    CHECK_THROWS_AS(read_snapshot(std::span{bytes}.first(length)), bad_snapshot);
  for (size_t i = 0; i < bytes.size(); i += 1 + i / 64) {
    auto damaged = bytes;
    damaged[i] ^= std::byte{0x20};
    CHECK_THROWS_AS(read_snapshot(damaged), bad_snapshot);
  }
  const auto nothing = snapshot_bytes(head, {});
  CHECK(read_snapshot(nothing).image.blocks.empty());
}

TEST_CASE("snapshots are there when their folder is opened again, each the newest of its region") {
  const temporary_folder folder;
  const auto path = folder / "snapshots";
  {
    const auto all = open(path);
    CHECK(all->take_kept().empty());
    all->write(here, {1, 2}, some_image(1));
    all->write(there, {2}, some_image(2));
    all->write(here, {1, 2, 3}, some_image(3));
    CHECK(all->holds(here, {1, 2, 3}));
    CHECK_FALSE(all->holds(here, {1, 2}));
    CHECK(holds_image(*all, here, some_image(3)));
    CHECK(all->usage().regions == 2);
    CHECK(all->usage().written == 3);
  }
  const auto all = open(path);
  auto kept = all->take_kept();
  std::sort(kept.begin(), kept.end());
  REQUIRE(kept == std::vector{here, there});
  CHECK(all->take_kept().empty());
  CHECK_FALSE(all->holds(there, {2})); // that is not known yet
  CHECK(read(*all, here)->head.stamps == std::vector<uint64_t>{1, 2, 3});
  CHECK(read(*all, there)->head.stamps == std::vector<uint64_t>{2});
  CHECK(all->holds(there, {2}));
  uint64_t bytes = 0;
  for (const auto& file : files_of(path, ".region"))
    bytes += content_of(file).size();
  CHECK(all->usage().bytes == bytes);
  all->erase(here);
  CHECK_FALSE(read(*all, here));
  CHECK(holds_image(*all, there, some_image(2)));
  CHECK(files_of(path, "").size() == 1);
}

TEST_CASE("what is no whole snapshot is named and removed, and costs nothing else") {
  const temporary_folder folder;
  const auto path = folder / "snapshots";
  std::string told;
  const auto log = [&told](severity, const std::string& text) { told += text + '\n'; };
  {
    const auto all = open(path);
    all->write(here, {1}, some_image(1));
    all->write(there, {1}, some_image(2));
    all->write({9, 9, 9}, {1}, some_image(3));
  }
  std::ofstream{path + "/1_1_1.region.part"} << "the process ended here";
  std::ofstream{path + "/5_5_5.region"} << "";                             // as after a loss of power
  std::filesystem::rename(path + "/9_9_9.region", path + "/8_8_8.region"); // whoever did that
  damage(path + "/" + snapshot_name(here), 5);                             // in its image: seen when it is read
  const auto all = open(path, {.most_bytes = 1 << 20}, log);
  CHECK(files_of(path, "").size() == 4); // without what was not finished
  CHECK(all->usage().regions == 4);
  for (const auto& region : {region_key{5, 5, 5}, region_key{8, 8, 8}, here})
    CHECK_FALSE(read(*all, region));
  CHECK(says(told, {"5_5_5.region", "cut short", "8_8_8.region", "another region"}));
  CHECK(says(told, {"3_-1_0.region", "is not what was written"}));
  CHECK(all->usage().damaged == 3);
  CHECK(all->usage().regions == 1);
  CHECK(holds_image(*all, there, some_image(2)));
  CHECK(files_of(path, "").size() == 1);
}

TEST_CASE("what cannot be read now is not removed, and other files are left alone") {
  const temporary_folder folder;
  const auto path = folder / "s";
  std::filesystem::create_directories(path + "/" + snapshot_name(here)); // may be opened, and not be read
  for (const char* name : {"notes", "1_2.region", "01_2_3.region", "1_2_3_4.region", "1-2-3.region", "1_2_99999999999.region"})
    std::ofstream{path + "/" + name} << "somebody's";
  const auto all = open(path);
  CHECK(all->take_kept() == std::vector{here});
  CHECK_FALSE(read(*all, here));
  CHECK(files_of(path, "").size() == 7);
}

TEST_CASE("snapshots keep within their room, tell which were not written, and make way for what needs it more") {
  const temporary_folder folder;
  const auto path = folder / "snapshots";
  const auto one = snapshot_bytes({here, 0, {1}}, some_image(1)).size();
  auto has_room = true;
  snapshot_options how{.most_bytes = 2 * one + one / 2};
  how.has_room = [&](uint64_t) { return has_room; };
  const auto all = open(path, how);
  for (int32_t x = 0; x < 2; ++x)
    all->write({x, 0, 0}, {1}, some_image(1));
  CHECK(all->ready());
  all->write({2, 0, 0}, {1}, some_image(1));
  CHECK(all->usage().failed == 1);
  CHECK(all->take_failed() == std::vector<region_key>{{2, 0, 0}});
  CHECK(all->take_failed().empty());
  CHECK_FALSE(all->ready());
  all->write({1, 0, 0}, {1, 2}, some_image(4)); // takes the place of another: the bound holds
  CHECK(all->holds({1, 0, 0}, {1, 2}));
  has_room = false;
  all->write({0, 0, 0}, {1, 2}, some_image(5));
  CHECK(all->usage().failed == 2);
  CHECK(all->holds({0, 0, 0}, {1})); // the old one stays: whether it is of use is seen at the next start
  CHECK(all->make_room());
  CHECK(all->usage().regions == 1);
  CHECK_FALSE(read(*all, {0, 0, 0}));
  CHECK(all->make_room());
  CHECK_FALSE(all->make_room());
  CHECK(files_of(path, "").empty());
  CHECK(all->usage().bytes == 0);
}

TEST_CASE("snapshots beyond the room that they have now go at the start, the oldest first") {
  const temporary_folder folder;
  const auto path = folder / "snapshots";
  const auto one = snapshot_bytes({here, 0, {1}}, some_image(1)).size();
  for (int32_t x = 0; x < 3; ++x) {
    open(path)->write({x, 0, 0}, {1}, some_image(1));
    std::this_thread::sleep_for(std::chrono::milliseconds{20}); // a file system's clock may be coarse
  }
  CHECK(open(path, {.most_bytes = 2 * one})->take_kept() == std::vector<region_key>{{1, 0, 0}, {2, 0, 0}});
  CHECK(files_of(path, "").size() == 2);
  const auto none = open(path, {.most_bytes = 0});
  CHECK(none->take_kept().empty());
  CHECK(none->take_failed().empty());
  CHECK(files_of(path, "").empty());
}

TEST_CASE("snapshots with a thread of their own answer whatever was asked, also when they end") {
  const temporary_folder folder;
  std::atomic<int> answers{0};
  for (int round = 0; round < 20; ++round) {
    region_snapshots all{folder / "s", {.most_bytes = 1 << 20}};
    for (int32_t x = 0; x < 8; ++x) {
      all.write({x, 0, 0}, {1}, some_image(1));
      all.read({x, 0, 0}, [&](const shared_snapshot&) { ++answers; });
      if (x % 3 == 0)
        all.erase({x, 0, 0});
    }
    if (round % 2 == 0)
      while (!all.idle())
        std::this_thread::yield();
  }
  CHECK(answers == 160);
  const auto all = open(folder / "s");
  for (const auto& region : all->take_kept())
    CHECK(holds_image(*all, region, some_image(1)));
}
