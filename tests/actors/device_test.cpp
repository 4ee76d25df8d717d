// Regions on several GPUs: whichever of them fail, and whenever, the map is that of the live keyframes.

#include "tests/support/torn_body.hpp"
#include "toy_gpu.hpp"
#include "wanted_map.hpp"

#include <catch2/catch.hpp>

#include <set>
#include <thread>

using namespace tessera;
using namespace tessera::toy;

namespace {

std::vector<region_status> regions(stepped_service& s) {
  auto answer = s.ask<std::vector<region_status>>(s.running.partitioner.get(), list_atom::value);
  s.run();
  for (int i = 0; i < 100 && !*answer; ++i)
    s.tick(std::chrono::milliseconds{250});
  return answer->value();
}

std::set<uint32_t> devices_in_use(stepped_service& s) {
  std::set<uint32_t> out;
  for (const auto& r : regions(s))
    out.insert(r.device.value);
  return out;
}

/// Each region's triangles, as a viewer who joins now is shown them.
std::map<region_key, uint32_t> shown(stepped_service& s) {
  auto patches = s.ask<std::vector<patch>>(s.running.broadcaster.get(), list_atom::value);
  s.run();
  std::map<region_key, uint32_t> out;
  for (const auto& p : patches->value())
    if (p.triangles > 0)
      out[p.region] = p.triangles;
  return out;
}

void settle(stepped_service& s) {
  s.run();
  for (int i = 0; i < 20; ++i)
    s.tick(std::chrono::milliseconds{250});
}

} // namespace

TEST_CASE("GPUs share the map, and the CPU has nothing to do") {
  for (const size_t count : {1u, 2u, 3u}) {
    INFO(count << " GPUs");
    const auto gpus = toy_gpus(count);
    auto by = std::make_shared<control>();
    stepped_service s{config_on(gpus, by), by};
    const auto frames = random_frames(11, 12);
    std::vector<std::shared_ptr<std::optional<verdict>>> answers;
    for (const auto& f : frames)
      answers.push_back(s.put(f));
    s.run();
    for (const auto& v : answers)
      CHECK(v->value().what == outcome::accepted);
    CHECK(to_hex(s.status().field.hash) == to_hex(truth(small_map(), frames)));
    CHECK(shown(s) == wanted(s));
    CHECK(devices_in_use(s).size() == count);
    uint64_t read = 0;
    for (const auto& g : gpus) {
      CHECK(g->by->integrated > 0);
      read += g->by->keyframes;
    }
    CHECK(read >= frames.size());
    CHECK(by->integrated == 0);
    const auto& n = *s.running.context.numbers;
    CHECK(n.rays_time.count() == read);
    CHECK(n.integrate_time.count() > 0);
    CHECK(n.extract_time.count() > 0);
  }
}

TEST_CASE("a GPU that fails is taken out of use, and its regions are filled again on the others") {
  const auto gpus = toy_gpus(2);
  auto by = std::make_shared<control>();
  stepped_service s{config_on(gpus, by), by};
  const auto frames = random_frames(12, 12);
  for (size_t i = 0; i < 6; ++i)
    s.put(frames[i]);
  s.run();
  REQUIRE(devices_in_use(s) == std::set<uint32_t>{0, 1});
  gpus[0]->by->broken = true;
  std::vector<std::shared_ptr<std::optional<verdict>>> answers;
  for (size_t i = 6; i < 12; ++i)
    answers.push_back(s.put(frames[i]));
  settle(s);
  for (const auto& v : answers)
    CHECK(v->value().what == outcome::accepted);
  CHECK(to_hex(s.status().field.hash) == to_hex(truth(small_map(), frames)));
  CHECK(devices_in_use(s) == std::set<uint32_t>{1});
  CHECK(shown(s) == wanted(s));
  const auto& n = *s.running.context.numbers;
  CHECK(n.device_failures == 1);
  CHECK(n.lost_core == 0);
  CHECK(n.devices.names() == "toy GPU 1");
  REQUIRE(s.running.devices.get().devices.size() == 1);
  CHECK(s.running.devices.get().devices[0].id == device_id{1});
  CHECK(by->integrated == 0); // the CPU is not needed
}

TEST_CASE("when the last GPU has failed, the CPU takes over") {
  const auto gpus = toy_gpus(2);
  auto by = std::make_shared<control>();
  stepped_service s{config_on(gpus, by), by};
  const auto frames = random_frames(13, 12);
  for (size_t i = 0; i < 6; ++i)
    s.put(frames[i]);
  s.run();
  for (const auto& g : gpus)
    g->by->broken = true;
  for (size_t i = 6; i < 12; ++i)
    s.put(frames[i]);
  settle(s);
  CHECK(to_hex(s.status().field.hash) == to_hex(truth(small_map(), frames)));
  CHECK(devices_in_use(s) == std::set<uint32_t>{2});
  CHECK(shown(s) == wanted(s));
  CHECK(s.running.context.numbers->devices.names() == "toy");
  CHECK(s.running.context.numbers->device_failures == 2);
  CHECK(s.running.context.numbers->lost_core == 0);
  CHECK(by->integrated > 0);
  // From now on it is a CPU device like any other: killed, it has a successor.
  s.kill("device");
  settle(s);
  CHECK(to_hex(s.status().field.hash) == to_hex(truth(small_map(), frames)));
  CHECK(s.running.context.numbers->device_failures == 2);
}

TEST_CASE("GPUs and actors that fail at random while keyframes come and go leave no trace") {
  const std::vector<std::string> roles{"ingest", "partitioner", "broadcaster", "placement", "device"};
  for (unsigned seed = 0; seed < 25; ++seed) {
    INFO("seed " << seed);
    std::mt19937 random{seed};
    const auto gpus = toy_gpus(1 + seed % 3);
    auto by = std::make_shared<control>();
    auto config = config_on(gpus, by);
    config.credit = 4;
    stepped_service s{config, by};
    auto sink = make_ingest_sink(s.system, s.running, 1000);
    s.run();
    int asked = 0, answered = 0, refused = 0;
    const auto told = [&](const verdict& v) {
      ++answered;
      refused += v.what == outcome::refused || v.what == outcome::not_now || v.what == outcome::conflict;
    };
    const auto frames = random_frames(300 + seed, 20);
    std::set<size_t> live;
    for (size_t i = 0; i < frames.size(); ++i) {
      ++asked;
      sink->offer(frames[i], told);
      live.insert(i);
      s.run_some(random, random() % 150);
      if (i % 3 == 2) {
        const auto victim = random() % (i + 1);
        ++asked;
        sink->offer(retraction{frames[victim].id}, told);
        live.erase(victim);
      }
      if (random() % 4 == 0)
        gpus[random() % gpus.size()]->by->broken = true;
      if (random() % 3 == 0)
        s.kill(roles[random() % roles.size()]);
      s.run_some(random, random() % 60);
    }
    settle(s);
    CHECK(answered == asked);
    CHECK(refused == 0);
    std::vector<keyframe> left;
    for (auto i : live)
      left.push_back(frames[i]);
    const auto status = s.status();
    CHECK(status.keyframes == left.size());
    CHECK(to_hex(status.field.hash) == to_hex(truth(small_map(), left)));
    CHECK(shown(s) == wanted(s));
    CHECK(s.running.context.numbers->lost_core == 0);
    sink->close();
    sink.reset();
    s.run();
  }
}

TEST_CASE("a killed device has a successor over the same GPU, and what was answered late is ignored") {
  const auto gpus = toy_gpus(2);
  auto by = std::make_shared<control>();
  stepped_service s{config_on(gpus, by), by};
  const auto frames = random_frames(14, 8);
  for (size_t i = 0; i < 4; ++i)
    s.put(frames[i]);
  s.run();
  const auto numbers = s.running.context.numbers;
  for (const auto& g : gpus)
    g->holds = true;
  auto late = s.put(frames[4]);
  s.run();
  CHECK_FALSE(*late); // what became of it is held
  for (const auto& device : s.running.devices.get().devices)
    caf::anon_send_exit(device.handle, caf::exit_reason::kill);
  s.run();
  size_t released = 0;
  for (const auto& g : gpus) {
    g->holds = false;
    released += g->release();
  }
  CHECK(released > 0);
  settle(s);
  CHECK(late->value().what == outcome::accepted);
  for (size_t i = 5; i < 8; ++i)
    s.put(frames[i]);
  settle(s);
  CHECK(to_hex(s.status().field.hash) == to_hex(truth(small_map(), frames)));
  CHECK(devices_in_use(s) == std::set<uint32_t>{0, 1});
  CHECK(numbers->device_failures == 0);
  CHECK(numbers->lost_core == 0);
}

TEST_CASE("answers may come when the service is gone") {
  const auto gpus = toy_gpus(2);
  {
    auto by = std::make_shared<control>();
    stepped_service s{config_on(gpus, by), by};
    s.put(random_frames(15, 1)[0]);
    s.run();
    for (const auto& g : gpus)
      g->holds = true;
    for (const auto& f : random_frames(16, 4))
      s.put(f);
    s.run();
  }
  size_t released = 0;
  for (const auto& g : gpus)
    std::thread{[&] { released += g->release(); }}.join();
  CHECK(released > 0);
}

TEST_CASE("a keyframe that a GPU has no room for is not taken now, as a whole, and the service goes on") {
  const auto gpus = toy_gpus(2);
  auto by = std::make_shared<control>();
  stepped_service s{config_on(gpus, by), by};
  const auto frames = random_frames(17, 4);
  s.put(frames[0]);
  s.run();
  const auto before = s.status();
  gpus[1]->by->cells_left = 0;
  auto later = s.put(frames[1]);
  settle(s);
  REQUIRE(later->value().what == outcome::not_now);
  CHECK_THAT(later->value().reason, Catch::Contains("room") && Catch::Contains("out of memory"));
  CHECK(s.status().field.hash == before.field.hash);
  CHECK(s.running.context.numbers->not_now_by[static_cast<size_t>(hindrance::room)] == 1);
  CHECK(s.running.context.numbers->device_failures == 0);
  CHECK(s.running.context.numbers->restarts == 0);
  gpus[1]->by->cells_left = ~0ull;
  for (const auto& f : frames)
    s.put(f);
  settle(s);
  CHECK(to_hex(s.status().field.hash) == to_hex(truth(small_map(), frames)));
}

TEST_CASE("of devices that share a map each region has one, also when some are lost, and others keep theirs") {
  device_table table;
  CHECK(table.owner({}) == nullptr);
  for (uint32_t i = 0; i < 4; ++i)
    table.devices.push_back({device_id{10 + i}, {}, i});
  table.count = 4;
  std::vector<region_key> regions;
  for (int32_t x = -6; x < 6; ++x)
    for (int32_t y = -6; y < 6; ++y)
      for (int32_t z = -6; z < 6; ++z)
        regions.push_back({x, y, z});
  const auto places = [&] {
    std::vector<uint32_t> out;
    for (const auto& r : regions)
      out.push_back(table.owner(r)->index);
    return out;
  };
  const auto share = [&](const std::vector<uint32_t>& of, uint32_t index) {
    return static_cast<double>(std::count(of.begin(), of.end(), index)) / static_cast<double>(of.size());
  };
  const auto four = places();
  for (uint32_t i = 0; i < 4; ++i)
    CHECK(share(four, i) == Approx(0.25).margin(0.02));
  table.lost = 0b0010;
  table.devices.erase(table.devices.begin() + 1);
  const auto three = places();
  for (size_t i = 0; i < regions.size(); ++i)
    CHECK((three[i] == four[i] || four[i] == 1));
  for (const uint32_t i : {0u, 2u, 3u})
    CHECK(share(three, i) > 0.29);
  table.lost = 0b1010;
  table.devices.pop_back();
  const auto two = places();
  for (size_t i = 0; i < regions.size(); ++i)
    CHECK((two[i] == three[i] || three[i] == 3 || four[i] == 1));
  for (const uint32_t i : {0u, 2u})
    CHECK(share(two, i) > 0.4);
}

TEST_CASE("points that changed while a GPU read them are not taken") {
  const auto gpus = toy_gpus(1);
  auto by = std::make_shared<control>();
  stepped_service s{config_on(gpus, by), by};
  keyframe frame;
  frame.id.value = "torn";
  frame.timestamp_ns = frame.received_ns = 1;
  frame.body = std::make_shared<test::torn_body>(random_frames(2, 1)[0].body);
  auto v = s.put(frame);
  s.run();
  CHECK(v->value().what == outcome::not_now);
  CHECK_THAT(v->value().reason, Catch::Contains("the segment shrank"));
  CHECK(gpus[0]->by->keyframes == 0);
  for (const auto& f : random_frames(20, 2)) // the GPU did nothing wrong
    s.put(f);
  s.run();
  CHECK(gpus[0]->by->keyframes == 2);
}

TEST_CASE("a device over a GPU tells where its blocks are") {
  const auto gpus = toy_gpus(2);
  auto by = std::make_shared<control>();
  stepped_service s{config_on(gpus, by), by};
  const auto all = s.running.context.numbers->devices.list();
  REQUIRE(all.size() == 2);
  REQUIRE(all[1].memory);
  CHECK(all[1].memory->regions_evicted == 2);
  std::vector<std::string> details;
  for (const auto& a : s.running.context.registry->statuses())
    if (a.role == "device")
      details.push_back(a.detail);
  REQUIRE(details.size() == 2);
  CHECK(details[0]
        == "toy GPU 0: 100 of 1000 blocks used, 7 regions here, 2 in host memory (4096 bytes), 5 moved out and 3 back");
}

TEST_CASE("the names of the devices say how many there are of each") {
  device_board board;
  CHECK(board.names().empty());
  board.put({0}, "A");
  board.put({1}, "B");
  board.put({2}, "A");
  CHECK(board.names() == "2 x A, B");
  board.remove({2});
  CHECK(board.names() == "A, B");
  CHECK(board.name_of({1}) == "B");
  CHECK(board.name_of({2}).empty());
}
