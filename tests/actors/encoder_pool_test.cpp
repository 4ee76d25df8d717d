// Encoding beside the actors, without CAF.

#include "actors/regions/encoder_pool.hpp"

#include <sys/resource.h>

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <future>
#include <stdexcept>

using namespace tessera;

namespace {

region_mesh surface_of(int32_t x) {
  return {{x, 0, 0}, static_cast<uint64_t>(x), std::make_shared<const mesh>()};
}

patch encode(const region_mesh& surface, uint64_t keyframe_ns, uint64_t received_ns) {
  patch out;
  out.region = surface.region;
  out.version = surface.version;
  out.keyframe_ns = keyframe_ns;
  out.received_ns = received_ns;
  return out;
}

/// An encoder that stands still until the test lets it go on.
struct gate {
  std::promise<void> opened;
  std::shared_future<void> open{opened.get_future()};
  std::atomic<int> inside{0};
  encoder_function encoder() {
    return [this](const region_mesh& surface, uint64_t keyframe_ns, uint64_t received_ns) {
      ++inside;
      open.wait();
      return encode(surface, keyframe_ns, received_ns);
    };
  }
  void wait_for(int count) const {
    while (inside < count)
      std::this_thread::yield();
  }
};

actor_status listed(const actor_context& context) {
  const auto all = context.registry->statuses();
  REQUIRE(all.size() == 1);
  return all.front();
}

} // namespace

TEST_CASE("surfaces are encoded in the order in which they came, and each answer is its own") {
  const actor_context context;
  encoder_pool pool{encode, 0, context, 7};
  std::vector<patch> done;
  for (int i = 0; i < 5; ++i)
    pool.encode({surface_of(i), static_cast<uint64_t>(10 + i), static_cast<uint64_t>(20 + i)},
                [&](patch encoded, std::exception_ptr failure) {
                  CHECK_FALSE(failure);
                  done.push_back(std::move(encoded));
                });
  CHECK(done.empty());
  CHECK(context.numbers->encodes_waiting == 5);
  CHECK(listed(context).role == "encoder pool");
  CHECK(listed(context).id == 7);
  CHECK(listed(context).mailbox == 5);
  while (pool.work()) {
  }
  REQUIRE(done.size() == 5);
  for (int i = 0; i < 5; ++i) {
    CHECK(done[static_cast<size_t>(i)].region == region_key{i, 0, 0});
    CHECK(done[static_cast<size_t>(i)].keyframe_ns == static_cast<uint64_t>(10 + i));
    CHECK(done[static_cast<size_t>(i)].received_ns == static_cast<uint64_t>(20 + i));
  }
  CHECK(context.numbers->encodes_waiting == 0);
  CHECK(context.numbers->encodes_under_way == 0);
  CHECK(context.numbers->encode_time.count() == 5);
  CHECK(context.numbers->encode_wait_time.count() == 5);
  CHECK(listed(context).mailbox == 0);
  CHECK(listed(context).state == "idle");
  REQUIRE(listed(context).handlers.size() == 1);
  CHECK(listed(context).handlers[0].handled == 5);
}

TEST_CASE("an encoder that throws, whatever it throws, is an answer, and the pool goes on") {
  const actor_context context;
  encoder_pool pool{[](const region_mesh& surface, uint64_t keyframe_ns, uint64_t received_ns) -> patch {
                      if (surface.region.x == 0)
                        throw std::runtime_error("no");
                      if (surface.region.x == 1)
                        throw 1;
                      return encode(surface, keyframe_ns, received_ns);
                    },
                    2, context, 7};
  std::array<std::promise<bool>, 3> failed;
  for (int i = 0; i < 3; ++i)
    pool.encode({surface_of(i)}, [&, i](const patch&, const std::exception_ptr& failure) {
      failed[static_cast<size_t>(i)].set_value(failure != nullptr);
    });
  CHECK(failed[0].get_future().get());
  CHECK(failed[1].get_future().get());
  CHECK_FALSE(failed[2].get_future().get());
  CHECK(context.numbers->encode_time.count() == 1);
}

TEST_CASE("threads that encode leave the processor to others, and to nobody else's loss") {
  const actor_context context;
  const int ours = ::getpriority(PRIO_PROCESS, 0);
  std::promise<int> theirs;
  encoder_pool pool{[&](const region_mesh& surface, uint64_t keyframe_ns, uint64_t received_ns) {
                      theirs.set_value(::getpriority(PRIO_PROCESS, 0));
                      return encode(surface, keyframe_ns, received_ns);
                    },
                    1, context, 7};
  pool.encode({surface_of(0)}, [](const patch&, const std::exception_ptr&) {});
  CHECK(theirs.get_future().get() == std::min(ours + 5, 19));
  CHECK(::getpriority(PRIO_PROCESS, 0) == ours);
}

TEST_CASE("as many surfaces are encoded side by side as there are threads, and what is done is told") {
  const actor_context context;
  gate at;
  encoder_pool pool{at.encoder(), 3, context, 7};
  std::atomic<int> done{0};
  for (int i = 0; i < 5; ++i)
    pool.encode({surface_of(i)}, [&](const patch&, const std::exception_ptr&) { ++done; });
  at.wait_for(3);
  CHECK(context.numbers->encodes_under_way == 3);
  CHECK(context.numbers->encodes_waiting == 2);
  CHECK(listed(context).state == "busy");
  CHECK(listed(context).mailbox == 2);
  CHECK(done == 0);
  at.opened.set_value();
  at.wait_for(5);
  while (listed(context).state == "busy")
    std::this_thread::yield();
  CHECK(done == 5); // told before it is called idle
}

TEST_CASE("a pool that stops ends what it is at, forgets what waits, and takes nothing more") {
  const actor_context context;
  gate at;
  std::atomic<int> done{0};
  const auto count = [&](const patch&, const std::exception_ptr&) { ++done; };
  encoder_pool pool{at.encoder(), 1, context, 7};
  for (int i = 0; i < 4; ++i)
    pool.encode({surface_of(i)}, count);
  at.wait_for(1);
  std::thread stopper{[&] { pool.stop(); }};
  while (context.numbers->encodes_waiting > 0)
    std::this_thread::yield();
  at.opened.set_value();
  stopper.join();
  CHECK(done == 1);
  pool.encode({surface_of(9)}, count);
  CHECK_FALSE(pool.work());
  pool.stop();
  CHECK(done == 1);
  CHECK(listed(context).state == "down");
  CHECK(listed(context).mailbox == 0);
}

TEST_CASE("a surface is encoded in the forms that are asked for, and by Draco if it cannot be told by cells") {
  const actor_context context;
  bool fits = true;
  encoder_pool pool{encode, 0, context, 7,
                    [&](const region_mesh&, patch&, const std::vector<uint64_t>& bases,
                        block_history& changes) -> std::optional<std::vector<cells_frame>> {
                      changes.newest = 5;
                      if (!fits)
                        return std::nullopt;
                      std::vector<cells_frame> out;
                      for (const auto base : bases)
                        out.push_back({base, std::make_shared<const std::vector<std::byte>>(base)});
                      return out;
                    }};
  const auto changes = std::make_shared<block_history>();
  patch got;
  const auto made = [&](std::vector<patch_form> forms) {
    pool.encode({surface_of(1), 10, 20, std::move(forms), changes}, [&](patch encoded, const std::exception_ptr& failure) {
      CHECK_FALSE(failure);
      got = std::move(encoded);
    });
    CHECK(pool.work());
    return got;
  };
  CHECK(made({{false, 0}}).cells.empty());
  CHECK(changes->newest == 0);
  const auto cells = made({{true, 3}, {true, 4}});
  CHECK(cells.in({true, 3})->size() == 3);
  CHECK(cells.in({true, 4})->size() == 4);
  CHECK_FALSE(cells.in({true, 0}));
  CHECK_FALSE(cells.no_cells);
  CHECK(cells.keyframe_ns == 10);
  CHECK(cells.bytes() == 7);
  CHECK(changes->newest == 5);
  fits = false;
  CHECK(made({{true, 3}}).no_cells);
}
