// The running service, end to end, with programs of our own alone: starts `tessera serve` on this machine, publishes keyframes
// through shared memory at a fixed rate, and notes when the patches that show them arrive at a viewer. No broker, no Python.

#include "bench_support.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <numeric>

namespace {

using namespace tessera;
using namespace tessera::bench;
using steady = std::chrono::steady_clock;

struct plan : service_plan {
  double rate_hz = 100;
  [[nodiscard]] uint64_t total() const { return std::max<uint64_t>(1, static_cast<uint64_t>(rate_hz * seconds)); }
};

/// What the producer noted.
struct published {
  std::vector<uint64_t> at_ns; ///< each keyframe's time: just before it was written
  std::vector<double> took_ms;
  uint64_t late = 0; ///< begun more than one interval after their time
  bool backlog = false;
};

published publish(const plan& p, const std::vector<keyframe>& frames, const std::string& prefix, child_service& running) {
  producer::segment_options options;
  options.prefix = prefix;
  producer::segment_writer writer(options);
  published done;
  const auto begin = steady::now();
  const auto interval = std::chrono::duration<double>(1 / p.rate_hz);
  for (uint64_t i = 0; i < p.total() && running.alive(); ++i) {
    const auto due = begin + std::chrono::duration_cast<steady::duration>(interval * static_cast<double>(i));
    std::this_thread::sleep_until(due);
    const auto start = steady::now();
    done.late += start - due > interval;
    const auto frame = frame_of(frames[i % frames.size()], std::to_string(i));
    try {
      writer.write(frame.id, producer::layout(frame));
    } catch (const producer::backlog_error& e) {
      std::cerr << "bench_latency: after " << i << " keyframes: " << e.what() << '\n';
      done.backlog = true;
      break;
    }
    done.took_ms.push_back(std::chrono::duration<double, std::milli>(steady::now() - start).count());
    done.at_ns.push_back(frame.timestamp_ns);
  }
  return done;
}

/// For each keyframe from the first on: milliseconds until a patch was there that shows it, or a newer one together with it.
/// Keyframes that no patch followed are left out.
std::vector<double> latencies(const std::vector<uint64_t>& at_ns, size_t first, const std::vector<sighting>& seen) {
  std::vector<double> result;
  size_t next = first;
  for (const auto& patch : seen)
    for (; next < at_ns.size() && at_ns[next] <= patch.keyframe_ns; ++next)
      result.push_back((static_cast<double>(patch.at_ns) - static_cast<double>(at_ns[next])) / 1e6);
  return result;
}

double quantile(std::vector<double> values, double share) {
  if (values.empty())
    return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1) + 0.5)];
}

/// Waits until the map holds so many keyframes; returns how long it took, or nothing if that was not within a minute.
std::optional<double> drain(child_service& running, uint64_t wanted) {
  const auto begin = steady::now();
  while (running.alive() && steady::now() - begin < std::chrono::minutes{1}) {
    const auto map = nlohmann::json::parse(fetch(running.port(), "/v1/map"));
    if (map.value("keyframes", uint64_t{0}) >= wanted) // an answer that says "not now" has none
      return std::chrono::duration<double>(steady::now() - begin).count();
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
  }
  return std::nullopt;
}

/// Waits for the last patches: until one shows the last keyframe and half a second has passed since, or for ten seconds (a
/// keyframe that changes no surface has none).
void wait_for_patches(patch_watcher& viewer, uint64_t last_ns) {
  const auto begin = steady::now();
  const auto there = [&] {
    const auto seen = viewer.seen();
    return std::any_of(seen.begin(), seen.end(), [&](const sighting& patch) { return patch.keyframe_ns >= last_ns; });
  };
  while (!there() && steady::now() - begin < std::chrono::seconds{10})
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
  std::this_thread::sleep_for(std::chrono::milliseconds{500});
}

nlohmann::ordered_json measure(const plan& p) {
  const auto frames = load_frames("bench_latency", p.source, p.points, std::min<uint64_t>(p.distinct, p.total()));
  const auto prefix = "/tessera_bench_" + std::to_string(::getpid()) + "_";
  const segment_cleaner cleaner(prefix);
  std::vector<std::string> arguments{"shm:" + prefix, "--shm-prefix", prefix, "--voxel-size", p.voxel, "--backend", p.backend};
  arguments.insert(arguments.end(), p.more.begin(), p.more.end());
  child_service running(p.binary, arguments);
  patch_watcher viewer(running.port());
  const auto idle_bytes = running.resident_bytes();
  const auto page = fetch(running.metrics_port(), "/metrics");
  const double cpu_s = running.cpu_s();
  const auto threads = cpu_by_thread(running.process());
  const auto begin = steady::now();
  const auto sent = publish(p, frames, prefix, running);
  const auto drained_s = drain(running, sent.at_ns.size());
  const double wall_s = std::chrono::duration<double>(steady::now() - begin).count();
  const double used_s = running.cpu_s() - cpu_s;
  const auto cores = cores_between(threads, cpu_by_thread(running.process()), wall_s);
  if (!sent.at_ns.empty())
    wait_for_patches(viewer, sent.at_ns.back());
  if (!running.alive())
    throw std::runtime_error("the service ended by itself:\n" + running.last_words());
  const auto last_page = fetch(running.metrics_port(), "/metrics");
  const auto map = nlohmann::json::parse(fetch(running.port(), "/v1/map"));
  viewer.close();
  if (const auto fault = viewer.fault(); !fault.empty())
    throw std::runtime_error("the viewer lost the stream: " + fault);

  const auto seen = viewer.seen();
  const auto first = std::min<size_t>(sent.at_ns.size(), static_cast<size_t>(p.rate_hz * p.warm_up_s));
  const auto shown = latencies(sent.at_ns, first, seen);
  std::vector<double> ages;
  uint64_t bytes = 0;
  const auto from_ns = first < sent.at_ns.size() ? sent.at_ns[first] : ~uint64_t{0};
  for (const auto& patch : seen) {
    bytes += patch.bytes;
    if (patch.keyframe_ns >= from_ns)
      ages.push_back((static_cast<double>(patch.at_ns) - static_cast<double>(patch.keyframe_ns)) / 1e6);
  }
  const double points = std::accumulate(frames.begin(), frames.end(), 0.0,
                                        [](double sum, const keyframe& k) { return sum + static_cast<double>(k.body->size()); });
  nlohmann::ordered_json report{
    {"source", p.source},
    {"points", std::round(points / static_cast<double>(frames.size()))},
    {"rate_hz", p.rate_hz},
    {"voxel_m", p.voxel},
    {"backend", p.backend},
    {"published", sent.at_ns.size()},
    {"accepted", map.at("keyframes")},
    {"kept_up", !sent.backlog && drained_s.has_value() && *drained_s < 1},
    {"drained_s", drained_s ? nlohmann::ordered_json(rounded(*drained_s)) : nlohmann::ordered_json()},
    {"producer_late", sent.late},
    {"publish_p50_ms", rounded(quantile(sent.took_ms, 0.5))},
    {"publish_p99_ms", rounded(quantile(sent.took_ms, 0.99))},
    {"warm_up_keyframes", first},
    {"keyframes_seen", shown.size()},
    {"latency_p50_ms", rounded(quantile(shown, 0.5))},
    {"latency_p99_ms", rounded(quantile(shown, 0.99))},
    {"latency_max_ms", rounded(quantile(shown, 1))},
    {"patches", seen.size()},
    {"patch_age_p50_ms", rounded(quantile(ages, 0.5))},
    {"patch_age_p99_ms", rounded(quantile(ages, 0.99))},
    {"viewer_bytes_per_s", std::round(static_cast<double>(bytes) / wall_s)},
    {"cpu_cores", rounded(used_s / wall_s)},
    {"cores_by_thread", cores},
    {"resident_bytes_idle", idle_bytes},
    {"resident_bytes_end", running.resident_bytes()},
    {"regions", map.at("regions")},
    {"map_triangles", map.at("triangles")},
    {"map_hash", map.at("hash")},
    {"stages", stages_between(page, last_page)},
  };
  if (running.end() != 0)
    throw std::runtime_error("the service did not end cleanly:\n" + running.last_words());
  return report;
}

} // namespace

int main(int argc, char** argv) try {
  plan p;
  CLI::App app{
    "Measures from publishing a keyframe to its patch at a viewer. The service is started for it, on this machine alone."};
  add_options(app, p);
  app.add_option("--rate", p.rate_hz, "Keyframes per second")->check(CLI::Range(0.1, 10'000.0));
  CLI11_PARSE(app, argc, argv);
  if (p.binary.empty())
    throw std::runtime_error("there is no tessera beside this program: give --binary or set TESSERA_BIN");
  print(measure(p), p.json, {"stages"});
  return 0;
} catch (const std::exception& e) {
  std::cerr << "bench_latency: " << e.what() << '\n';
  return 1;
}
