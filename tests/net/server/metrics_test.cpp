#include "net/server/metrics.hpp"
#include "net/server/process_numbers.hpp"
#include "tests/support/left_out.hpp"
#include "tests/support/outside_program.hpp"

#include <catch2/catch.hpp>

#include <sstream>

using namespace tessera;

namespace {

struct counted {
  std::shared_ptr<telemetry> numbers = std::make_shared<telemetry>();
  std::shared_ptr<traffic> counts = std::make_shared<traffic>();
  counted() {
    numbers->devices.put({}, "cpu");
    numbers->accepted = 5;
    numbers->count_refused(refusal::pose);
    numbers->count_not_now({hindrance::room, "the map is full"});
    numbers->conflicts = 2;
    numbers->live_keyframes = 4;
    numbers->quarantine.enter({{"k2"}, "http", {}, 0, "it is deadly", 0, 2});
    numbers->stalls.set({{"ingest", "1 message waits", {}}}, 3);
    numbers->set_aside.add("http", "k1", "bad \"header\"\n");
    numbers->rays_time.record(3'000'000);
    numbers->rays_time.record(40'000'000);
    numbers->encode_wait_time.record(1'000'000);
    numbers->encodes_waiting = 3;
    numbers->encodes_under_way = 2;
    counts->count(resource::map, 200);
    counts->count(resource::map, 503);
    counts->request_time.record(1'500'000);
  }
  [[nodiscard]] std::string text() const { return metrics{numbers, counts}.text(); }
};

} // namespace

TEST_CASE("Every number has its sample") {
  auto text = counted{}.text();
  for (const char* line : {
         "tessera_keyframes_total{outcome=\"accepted\"} 5\n",
         "tessera_keyframes_refused_total{reason=\"pose\"} 1\n",
         "tessera_keyframes_refused_total{reason=\"points\"} 0\n",
         "tessera_keyframes_not_now_total{reason=\"room\"} 1\n",
         "tessera_keyframes_not_now_total{reason=\"store\"} 0\n",
         "tessera_keyframe_conflicts_total 2\n",
         "tessera_inputs_set_aside_total{source=\"http\"} 1\n",
         "tessera_inputs_set_aside_total{source=\"amqp\"} 0\n",
         "tessera_live_keyframes 4\n",
         "tessera_keyframes_refused_total{reason=\"quarantined\"} 0\n",
         "tessera_quarantined_keyframes 1\n",
         "tessera_keyframes_quarantined_total 1\n",
         "tessera_stalled 1\n",
         "tessera_stalls_total 3\n",
         "tessera_stage_duration_seconds_count{stage=\"rays\"} 2\n",
         "tessera_stage_duration_seconds_bucket{stage=\"rays\",le=\"0.01\"} 1\n",
         "tessera_stage_duration_seconds_bucket{stage=\"rays\",le=\"+Inf\"} 2\n",
         "tessera_stage_duration_seconds_count{stage=\"encode_wait\"} 1\n",
         "tessera_stage_duration_seconds_count{stage=\"encode\"} 0\n",
         "tessera_encode_waiting 3\n",
         "tessera_encode_under_way 2\n",
         "tessera_http_requests_total{resource=\"map\",status=\"2xx\"} 1\n",
         "tessera_http_requests_total{resource=\"map\",status=\"5xx\"} 1\n",
         "tessera_http_requests_total{resource=\"regions\",status=\"2xx\"} 0\n",
         "backend=\"cpu\"",
         "process_resident_memory_bytes ",
       })
    CHECK_THAT(text, Catch::Contains(line));
}

TEST_CASE("GPUs are told apart by number, and the CPU has no pool") {
  counted with;
  CHECK(with.text().find("tessera_device_pool") == std::string::npos);
  CHECK_THAT(with.text(), Catch::Contains("tessera_device_failures_total 0\n"));
  with.numbers->devices.remove({});
  for (uint32_t i : {0u, 1u})
    with.numbers->devices.put({i}, "NVIDIA H100", [i] {
      memory_status m;
      m.blocks = 100 + i;
      m.free_blocks = 60;
      m.regions_here = 4;
      m.regions_evicted = 3;
      m.evicted_bytes = 24'576;
      m.evictions = 9;
      m.page_ins = 6;
      m.batches = 50;
      m.kernels = 400;
      return std::optional{m};
    });
  with.numbers->devices.put({2}, "gone", [] { return std::optional<memory_status>{}; });
  const auto text = with.text();
  for (const char* line : {
         "tessera_device_info{device=\"1\",name=\"NVIDIA H100\"} 1\n",
         "tessera_device_pool_blocks{device=\"0\"} 100\n",
         "tessera_device_pool_blocks{device=\"1\"} 101\n",
         "tessera_device_free_blocks{device=\"1\"} 60\n",
         "tessera_device_regions{device=\"1\",place=\"device\"} 4\n",
         "tessera_device_regions{device=\"1\",place=\"host\"} 3\n",
         "tessera_device_host_bytes{device=\"0\"} 24576\n",
         "tessera_device_region_moves_total{device=\"0\",direction=\"out\"} 9\n",
         "tessera_device_region_moves_total{device=\"0\",direction=\"in\"} 6\n",
         "tessera_device_batches_total{device=\"0\"} 50\n",
         "tessera_device_kernels_total{device=\"0\"} 400\n",
         "backend=\"2 x NVIDIA H100, gone\"",
       })
    CHECK_THAT(text, Catch::Contains(line));
  CHECK(text.find("device=\"2\"") == std::string::npos);
}

TEST_CASE("Names follow Prometheus' conventions, and no id is a label") {
  std::istringstream lines{counted{}.text()};
  for (std::string line; std::getline(lines, line);) {
    INFO(line);
    if (line.starts_with("# TYPE ")) {
      CHECK((line.starts_with("# TYPE tessera_") || line.starts_with("# TYPE process_")));
      CHECK(line.ends_with(" counter") == (line.find("_total ") != line.npos));
      CHECK((!line.ends_with(" histogram") || line.find("_seconds ") != line.npos));
    }
    for (const char* label : {"region=", "keyframe=", "id="})
      CHECK(line.find(label) == line.npos);
  }
}

TEST_CASE("promtool has nothing to say") {
  if (!test::is_installed("promtool"))
    return test::left_out("promtool (Debian package prometheus) is not installed");
  test::scratch_file file{"metrics.txt"};
  counted with;
  with.numbers->devices.put({1}, "GPU", [] { return std::optional{memory_status{}}; });
  auto text = with.text();
  file.write(std::as_bytes(std::span{text}));
  auto done = test::run_program("promtool check metrics < " + file.path().string());
  CHECK(done.output == "");
  CHECK(done.status == 0);
}

TEST_CASE("The process knows itself") {
  auto p = read_process_numbers();
  CHECK(p.resident_bytes > (1 << 20));
  CHECK(p.threads >= 1);
  CHECK(p.open_fds >= 3);
  CHECK(p.max_fds >= p.open_fds);
  CHECK(p.start_s > 1.6e9);
}
