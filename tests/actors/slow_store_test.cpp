// A disk that is slow, or stuck: what does not need it goes on, and what needs it is done when the disk lets it, in order.

#include "faulty_disk.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::toy;

namespace {

constexpr size_t rays = 1000;
constexpr uint64_t size_of_one = rays * sizeof(ray);

} // namespace

TEST_CASE("what needs no disk is done while the disk is stuck") {
  const auto disk = std::make_shared<faulty_disk>();
  const auto store = disk->make_store(2 * size_of_one, true);
  const auto a = a_frame("a", rays, 1), b = a_frame("b", rays, 2), c = a_frame("c", rays, 3);
  REQUIRE(put(*store, a));
  REQUIRE(put(*store, b));
  CHECK(disk->writes == 0);
  disk->close();
  const auto stored = ask_put(*store, c); // a must go to the file first
  disk->wait_until_stuck();
  CHECK(store->ids() == std::vector<keyframe_id>{a.id, b.id, c.id});
  CHECK(store->usage().disk_bytes == 0);
  CHECK(same(get(*store, b.id), b));
  pose moved;
  moved.m[3] = 8;
  CHECK(set_pose(*store, b.id, moved));
  CHECK(get(*store, b.id)->world_from_camera == moved);
  CHECK_FALSE(put(*store, b));
  CHECK(erase(*store, b.id));
  CHECK_FALSE(get(*store, b.id));
  CHECK(same(get(*store, a.id), a)); // it is being written, and still here
  CHECK_FALSE(is_answered(stored));

  SECTION("what is being written may go meanwhile") {
    CHECK(erase(*store, a.id));
    CHECK(put(*store, a_frame("a", rays / 2, 4))); // and come again
    disk->open();
    CHECK(put(*store, b));
    CHECK(same(get(*store, a.id), a_frame("a", rays / 2, 4)));
  }
  SECTION("or stay") {
    disk->open();
    CHECK(put(*store, b));
    CHECK(same(get(*store, a.id), a));
  }
  CHECK(same(get(*store, b.id), b));
  CHECK(same(get(*store, c.id), c));
  for (const auto& id : store->ids())
    erase(*store, id);
  CHECK(store->usage().keyframes == 0);
  CHECK(store->usage().rays == 0);
  CHECK(store->usage().memory_bytes == 0);
  CHECK(store->usage().disk_bytes == 0);
}

TEST_CASE("what is asked about one keyframe is done and answered in the order in which it was asked") {
  const auto disk = std::make_shared<faulty_disk>();
  const auto store = disk->make_store(0, true);
  REQUIRE(put(*store, a_frame("other", rays, 1)));
  disk->close();
  auto first = ask_put(*store, a_frame("a", rays, 2));
  auto none = ask_erase(*store, {"never seen"}); // about another: at once
  auto gone = ask_erase(*store, {"a"});
  auto nothing = ask_get(*store, {"a"});
  auto second = ask_put(*store, a_frame("a", rays, 3));
  auto third = ask_put(*store, a_frame("a", rays, 4));
  auto found = ask_get(*store, {"a"});
  REQUIRE(is_answered(none));
  CHECK_FALSE(none.get());
  CHECK_FALSE(is_answered(first));
  disk->open();
  CHECK(same(found.get(), a_frame("a", rays, 3)));
  for (auto* one : {&first, &gone, &second, &third})
    REQUIRE(is_answered(*one));
  REQUIRE(is_answered(nothing));
  CHECK(first.get());
  CHECK(gone.get());
  CHECK_FALSE(nothing.get());
  CHECK(second.get());
  CHECK_FALSE(third.get());
}

TEST_CASE("a keyframe that cannot be written, which is known late, is not there, and others are") {
  const auto disk = std::make_shared<faulty_disk>();
  const auto store = disk->make_store(size_of_one, true);
  const auto a = a_frame("a", rays, 1), b = a_frame("b", rays, 2);
  REQUIRE(put(*store, a));
  disk->close();
  auto stored = ask_put(*store, b);
  auto found = ask_get(*store, b.id);
  disk->writing = faulty_disk::fault::full;
  disk->open();
  CHECK_THROWS_AS(stored.get(), std::system_error);
  CHECK_FALSE(found.get());
  CHECK(same(get(*store, a.id), a));
  disk->writing = faulty_disk::fault::none;
  CHECK(put(*store, b));
  CHECK(same(get(*store, a.id), a));
  CHECK(same(get(*store, b.id), b));
  disk->reading = faulty_disk::fault::unreadable;
  CHECK_THROWS_AS(get(*store, a.id), std::system_error);
  CHECK(same(get(*store, b.id), b));
  disk->reading = faulty_disk::fault::none;
  CHECK(same(get(*store, a.id), a));
}

TEST_CASE("a store ends when it has done what it was asked, and says so to whoever asks later") {
  const auto disk = std::make_shared<faulty_disk>();
  const auto store = disk->make_store(0, true);
  disk->close();
  std::vector<std::future<bool>> stored;
  for (uint32_t i = 0; i < 5; ++i)
    stored.push_back(ask_put(*store, a_frame("kf" + std::to_string(i), rays, i)));
  disk->wait_until_stuck();
  auto ended = std::async(std::launch::async, [&] { store->stop(); });
  disk->open();
  ended.get();
  for (auto& one : stored) {
    REQUIRE(is_answered(one));
    CHECK(one.get());
  }
  CHECK(store->usage().keyframes == 5);
  CHECK_THROWS_AS(put(*store, a_frame("late", rays, 9)), std::runtime_error);
  store->stop();
}
