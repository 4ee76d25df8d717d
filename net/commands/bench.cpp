#include "net/commands/choose_backend.hpp"
#include "net/commands/offline.hpp"
#include "net/commands/progress.hpp"
#include "net/commands/times_file.hpp"

#include <nlohmann/json.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <ostream>
#include <stdexcept>

namespace tessera {

namespace {

using clock = std::chrono::steady_clock;

uint64_t peak_rss_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

/// The value that a share of the values does not exceed, in milliseconds.
double quantile_ms(std::vector<double> seconds, double share) {
  if (seconds.empty())
    return 0;
  std::sort(seconds.begin(), seconds.end());
  const auto at = static_cast<size_t>(share * static_cast<double>(seconds.size() - 1) + 0.5);
  return seconds[at] * 1e3;
}

nlohmann::ordered_json stage(const std::vector<stage_times>& times, double (*value)(const stage_times&)) {
  std::vector<double> seconds;
  seconds.reserve(times.size());
  for (const auto& t : times)
    seconds.push_back(value(t));
  return {{"median_ms", quantile_ms(seconds, 0.5)}, {"p99_ms", quantile_ms(seconds, 0.99)}};
}

/// Holds keyframes until a batch of them can be worked without anything being decoded meanwhile; gives each batch to two maps,
/// one thread and several, and measures how long each takes.
class throughput_sink final : public keyframe_sink {
public:
  throughput_sink(offline_map& one, offline_map& many) : one_(one), many_(many) {}

  void offer(keyframe frame, completion done) override {
    bytes_ += frame.body->size() * 16;
    batch_.push_back(std::move(frame));
    done({outcome::accepted, {}});
    if (bytes_ > batch_bytes)
      flush();
  }
  void retract(keyframe_id, completion done) override { done({outcome::unknown, {}}); }
  void revise(keyframe_id, pose, completion done) override { done({outcome::unknown, {}}); }
  void set_aside(const std::string& source, const std::string& what, const std::string& reason) override {
    one_.set_aside(source, what, reason);
  }

  void flush() {
    one_s += work(one_);
    many_s += work(many_);
    batch_.clear();
    bytes_ = 0;
  }

  double one_s = 0, many_s = 0;

private:
  static constexpr uint64_t batch_bytes = uint64_t{512} << 20;

  double work(offline_map& map) {
    const auto start = clock::now();
    for (const auto& frame : batch_)
      map.offer(frame, [](const verdict&) {});
    map.finish();
    return std::chrono::duration<double>(clock::now() - start).count();
  }

  offline_map& one_;
  offline_map& many_;
  std::vector<keyframe> batch_;
  uint64_t bytes_ = 0;
};

} // namespace

int bench_command(const offline_setup& setup, bool json, std::ostream& out) {
  const auto map = mapping_for(setup);
  std::string backend_name;
  const auto make = [&](uint32_t threads) {
    auto device = choose_backend(setup.backend, map, setup.memory_cap_bytes);
    if (std::exchange(backend_name, device->name()).empty())
      tell_backend(*device, setup.backend);
    auto options = checked_options(threads);
    options.extract_each = true;
    return std::make_unique<offline_map>(map, std::move(device), std::move(options));
  };
  times_file listed(setup.times_file);
  // Decoding happens in between, in this thread, so that nothing runs beside what is measured.
  auto input = setup.input;
  input.prefetch_threads = 0;
  const auto source = make_source(setup.source, input);
  const auto one = make(1);
  nlohmann::ordered_json throughput;
  if (setup.threads > 1) {
    const auto many = make(setup.threads);
    throughput_sink sink(*one, *many);
    {
      progress_sink shown(sink, "bench", source->total(), setup.progress);
      source->run(shown, {});
      sink.flush();
    }
    if (many->stats().hash != one->stats().hash)
      throw std::runtime_error("one thread and " + std::to_string(setup.threads) + " made different maps");
    const auto keyframes = static_cast<double>(one->counts().keyframes);
    throughput = {{"threads", setup.threads},
                  {"keyframes_per_s", keyframes / sink.many_s},
                  {"one_thread_keyframes_per_s", keyframes / sink.one_s},
                  {"speedup", sink.one_s / sink.many_s}};
  } else {
    progress_sink shown(*one, "bench", source->total(), setup.progress);
    source->run(shown, {});
  }
  const auto counts = one->counts();
  if (counts.keyframes == 0)
    throw std::runtime_error(setup.source + " has no usable keyframe"
                             + (counts.last_reason.empty() ? "" : "; the last one: " + counts.last_reason));

  const auto peak = peak_rss_bytes(); // what follows is not part of a live map
  const auto stats = one->stats();
  const auto surface = weld(one->meshes());
  const auto& times = one->times();
  listed.write(times);
  nlohmann::ordered_json result{
    {"backend", backend_name},
    {"threads", setup.threads},
    {"voxel_m", static_cast<double>(map.voxel_m)},
    {"truncation_m", static_cast<double>(map.truncation_m)},
    {"keyframes", counts.keyframes},
    {"points", counts.points},
    {"rays", counts.rays},
    {"stages",
     {{"rays", stage(times, [](const stage_times& t) { return t.rays_s; })},
      {"integrate", stage(times, [](const stage_times& t) { return t.integrate_s; })},
      {"extract", stage(times, [](const stage_times& t) { return t.extract_s; })},
      {"total", stage(times, [](const stage_times& t) { return t.total_s(); })}}},
    {"triangles", surface.triangles()},
    {"vertices", surface.vertices()},
    {"field_bytes", stats.bytes},
    {"peak_rss_bytes", peak},
    {"map_hash", to_hex(stats.hash)},
  };
  if (!throughput.is_null())
    result["throughput"] = throughput;
  if (json) {
    out << result.dump() << std::endl;
    return 0;
  }
  const auto line = [&](const char* name, const char* label) {
    const auto& s = result["stages"][name];
    out << "  " << label << s["median_ms"].get<double>() << " ms median, " << s["p99_ms"].get<double>() << " ms p99\n";
  };
  out.precision(3);
  out << counts.keyframes << " keyframes, " << counts.points / counts.keyframes << " points each, " << map.voxel_m
      << " m voxels, one thread of the CPU\n";
  line("rays", "rays       ");
  line("integrate", "integrate  ");
  line("extract", "extract    ");
  line("total", "total      ");
  if (!throughput.is_null())
    out << "  throughput " << throughput["keyframes_per_s"].get<double>() << " keyframes/s with " << setup.threads << " threads, "
        << throughput["speedup"].get<double>() << " times that of one\n";
  out << "  mesh       " << surface.triangles() << " triangles, " << surface.vertices() << " vertices\n  memory     "
      << stats.bytes / 1000000 << " MB field, " << peak / 1000000 << " MB peak resident\n  map        " << to_hex(stats.hash)
      << std::endl;
  return 0;
}

} // namespace tessera
