#pragma once
// What benchmarks of the running service share.

#include "child_service.hpp"
#include "histogram_text.hpp"
#include "keeping_sink.hpp"
#include "patch_watcher.hpp"

#include "net/clients/cpp/producer.hpp"
#include "net/sources/source_table.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace tessera::bench {

/// So many keyframes of a source, in memory; a synthetic one has about so many points. Throws std::runtime_error if there is
/// none.
inline std::vector<keyframe> load_frames(const std::string& program, const std::string& source, uint32_t points,
                                         uint64_t distinct) {
  source_options input;
  input.sequence.limit = distinct;
  input.sequence.prefetch_threads = std::clamp(std::thread::hardware_concurrency() / 2, 1u, 8u);
  input.synthetic.width = static_cast<uint32_t>(std::sqrt(static_cast<double>(points)));
  input.synthetic.height = points / input.synthetic.width;
  input.synthetic.noise_m = 0.003f;
  keeping_sink kept(program);
  make_source(source, input)->run(kept, {});
  if (kept.frames.empty())
    throw std::runtime_error(source + " has no usable keyframe");
  return std::move(kept.frames);
}

/// To three places, as nobody needs more.
inline double rounded(double value) {
  return std::round(value * 1000) / 1000;
}

inline nlohmann::ordered_json stages_between(const std::string& before, const std::string& after) {
  const auto earlier = histograms_of(before);
  nlohmann::ordered_json result = nlohmann::ordered_json::object();
  for (const auto& [name, whole] : histograms_of(after)) {
    const auto found = earlier.find(name);
    const auto part = found == earlier.end() ? whole : whole.since(found->second);
    if (part.count > 0 && name.rfind("tessera_http", 0) != 0)
      result[name] = {{"count", part.count},
                      {"mean_ms", rounded(part.sum_s / part.count * 1e3)},
                      {"p50_ms", rounded(part.quantile_s(0.5) * 1e3)},
                      {"p99_ms", rounded(part.quantile_s(0.99) * 1e3)}};
  }
  return result;
}

/// Processor seconds so far of a process, by the name of the thread.
inline std::map<std::string, double> cpu_by_thread(pid_t process) {
  std::map<std::string, double> out;
  std::error_code ignored;
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task", ignored)) {
    const auto used = cpu_of(task.path() / "stat");
    if (!used.name.empty())
      out[used.name] += used.seconds;
  }
  return out;
}

/// Processors that threads of each name kept busy meanwhile.
inline nlohmann::ordered_json cores_between(const std::map<std::string, double>& first, const std::map<std::string, double>& last,
                                            double wall_s) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (const auto& [name, s] : last) {
    const auto before = first.find(name);
    const double used = (s - (before == first.end() ? 0 : before->second)) / wall_s;
    if (used >= 0.005)
      out[name] = rounded(used);
  }
  return out;
}

/// The keyframe as a producer of now gives it; its body must stay.
inline producer::keyframe frame_of(const keyframe& from, const std::string& id) {
  producer::keyframe frame;
  frame.id = id;
  frame.pose = from.world_from_camera.m;
  frame.points = from.body->points().data();
  frame.colours = from.body->colours().data();
  frame.channels = from.body->channels();
  frame.count = from.body->size();
  frame.confidence = from.body->confidence().empty() ? nullptr : from.body->confidence().data();
  frame.timestamp_ns = system_ns();
  return frame;
}

/// Removes segments that were not taken.
class segment_cleaner {
public:
  explicit segment_cleaner(std::string prefix) : prefix_(std::move(prefix)) {}
  segment_cleaner(const segment_cleaner&) = delete;
  segment_cleaner& operator=(const segment_cleaner&) = delete;
  ~segment_cleaner() {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/dev/shm", ignored))
      if (('/' + entry.path().filename().string()).rfind(prefix_, 0) == 0)
        std::filesystem::remove(entry.path(), ignored);
  }

private:
  std::string prefix_;
};

/// TESSERA_BIN; or the program beside this one, as in a bundle; or above it, as in a build.
inline std::string find_program() {
  if (const char* named = std::getenv("TESSERA_BIN"))
    return named;
  std::error_code failed;
  const auto here = std::filesystem::read_symlink("/proc/self/exe", failed).parent_path();
  for (const auto& path : {here / "tessera", here.parent_path() / "tessera"})
    if (std::filesystem::is_regular_file(path, failed))
      return path;
  return {};
}

/// What benchmarks that start the service have in common.
struct service_plan {
  std::string binary = find_program(), source = "synthetic:room", voxel = "0.05", backend = "auto";
  uint32_t points = 50'000, distinct = 200;
  double seconds = 10, warm_up_s = 1;
  bool json = false;
  std::vector<std::string> more;
};

inline void add_options(CLI::App& app, service_plan& p) {
  app.option_defaults()->always_capture_default();
  app.add_option("--binary", p.binary, "The program; default: $TESSERA_BIN, or the tessera of this folder or the one above");
  app.add_option("--source", p.source, "What is published: synthetic:room, synthetic:building or rgbd:DIR");
  app.add_option("--points", p.points, "Points of a synthetic keyframe")->check(CLI::Range(64, 4'000'000));
  app.add_option("--seconds", p.seconds, "How long it measures")->check(CLI::Range(0.1, 3'600.0));
  app.add_option("--warm-up", p.warm_up_s, "What comes for so long at the beginning does not count, s")
    ->check(CLI::Range(0.0, 3'600.0));
  app.add_option("--distinct", p.distinct, "So many different keyframes are held in memory and published in turn")
    ->check(CLI::Range(1, 100'000));
  app.add_option("--voxel-size", p.voxel, "As for tessera serve");
  app.add_option("--backend", p.backend, "As for tessera serve");
  app.add_flag("--json", p.json, "Print one line of JSON");
  app.add_option("more", p.more, "After --: more options for tessera serve");
}

/// Prints a report; `lists` are its entries that hold several of a kind, and come last.
inline void print(const nlohmann::ordered_json& report, bool json, const std::set<std::string>& lists) {
  if (json) {
    std::cout << report.dump() << std::endl;
    return;
  }
  for (const auto& [name, value] : report.items())
    if (!lists.contains(name))
      std::cout << std::string(name.size() < 24 ? 24 - name.size() : 0, ' ') << name << "  " << value << '\n';
  for (const auto& list : lists)
    for (const auto& [name, value] : report[list].items())
      std::cout << "  " << name << ": " << value.dump() << '\n';
}

} // namespace tessera::bench
