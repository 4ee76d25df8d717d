#include "gpu/map/weld.hpp"
#include "net/commands/choose_backend.hpp"
#include "net/commands/offline.hpp"
#include "net/commands/progress.hpp"
#include "net/commands/times_file.hpp"

#include <nlohmann/json.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <ostream>
#include <stdexcept>
#include <stop_token>
#include <utility>

namespace tessera {

namespace {

using clock = std::chrono::steady_clock;

uint64_t peak_rss_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

/// The value that a share of the values does not exceed.
double quantile(std::vector<double> values, double share) {
  if (values.empty())
    return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1) + 0.5)];
}

template <class Value>
std::vector<double> each(const std::vector<stage_times>& times, Value value) {
  std::vector<double> out;
  out.reserve(times.size());
  for (const auto& t : times)
    out.push_back(static_cast<double>(value(t)));
  return out;
}

template <class Value>
nlohmann::ordered_json stage(const std::vector<stage_times>& times, Value value) {
  const auto seconds = each(times, value);
  return {{"median_ms", quantile(seconds, 0.5) * 1e3}, {"p99_ms", quantile(seconds, 0.99) * 1e3}};
}

/// Passes keyframes on with their points in memory from which a GPU reads by itself, as it does from a segment.
class pinning_sink final : public keyframe_sink {
public:
  pinning_sink(keyframe_sink& to, async_fields& device) : to_(to), device_(device) {}
  void offer(map_input what, completion done) override {
    if (auto* frame = std::get_if<keyframe>(&what))
      frame->body = device_.pin(*frame->body);
    to_.offer(std::move(what), std::move(done));
  }
  void correct(correction what, completion done) override { to_.correct(std::move(what), std::move(done)); }
  void set_aside(const std::string& source, const std::string& what, const std::string& reason) override {
    to_.set_aside(source, what, reason);
  }

private:
  keyframe_sink& to_;
  async_fields& device_;
};

/// Holds keyframes until a batch of them can be worked without anything being decoded meanwhile; gives each batch to two maps,
/// one keyframe at a time and many under way, and measures how long each takes.
class throughput_sink final : public keyframe_sink {
public:
  /// `rounds`: the second map takes each batch so often, under ids of its own each time, where one pass is too short to measure.
  throughput_sink(offline_map& one, offline_map& many, uint32_t rounds) : one_(one), many_(many), rounds_(rounds) {}

  void offer(map_input what, completion done) override {
    if (const auto* frame = std::get_if<keyframe>(&what))
      bytes_ += frame->body->size() * 16;
    batch_.push_back(std::move(what));
    done({outcome::accepted, {}});
    if (bytes_ > batch_bytes)
      flush();
  }
  void set_aside(const std::string& source, const std::string& what, const std::string& reason) override {
    one_.set_aside(source, what, reason);
  }

  void flush() {
    one_s += work(one_);
    for (uint32_t round = 0; round < rounds_; ++round) {
      many_s += work(many_);
      for (auto& one : batch_)
        id_of(one).value += '+';
    }
    batch_.clear();
    bytes_ = 0;
  }

  double one_s = 0, many_s = 0;

private:
  static constexpr uint64_t batch_bytes = uint64_t{512} << 20;

  double work(offline_map& map) {
    const auto start = clock::now();
    for (const auto& one : batch_)
      map.offer(one, [](const verdict&) {});
    map.finish();
    return std::chrono::duration<double>(clock::now() - start).count();
  }

  offline_map& one_;
  offline_map& many_;
  uint32_t rounds_;
  std::vector<map_input> batch_;
  uint64_t bytes_ = 0;
};

/// What a keyframe cost a GPU, and what is the least it could cost: the copy of its points to the device.
nlohmann::ordered_json device_costs(const std::vector<stage_times>& times) {
  const auto median = [&](auto value) { return quantile(each(times, value), 0.5); };
  const double upload_s = median([](const stage_times&t) { return t.upload_s; }),
               total_s = median([](const stage_times&t) { return t.total_s; }),
               bytes_up = median([](const stage_times&t) { return t.bytes_up; });
  return {{"kernels", median([](const stage_times& t) { return t.kernels; })},
          {"copies", median([](const stage_times& t) { return t.copies; })},
          {"bytes_up", bytes_up},
          {"bytes_down", median([](const stage_times& t) { return t.bytes_down; })},
          {"done_again", std::count_if(times.begin(), times.end(), [](const stage_times& t) { return t.attempts > 1; })},
          {"upload_gb_per_s", upload_s > 0 ? bytes_up / upload_s / 1e9 : 0},
          {"upload_share_of_total", total_s > 0 ? upload_s / total_s : 0}};
}

/// What each GPU holds of the map.
nlohmann::ordered_json devices_of(const std::vector<std::shared_ptr<async_fields>>& gpus) {
  auto out = nlohmann::ordered_json::array();
  for (const auto& gpu : gpus) {
    const auto m = gpu->memory();
    out.push_back({{"name", gpu->name()},
                   {"regions", m.regions_here + m.regions_evicted},
                   {"blocks", m.blocks - m.free_blocks},
                   {"moves_out", m.evictions},
                   {"moves_in", m.page_ins}});
  }
  return out;
}

nlohmann::ordered_json stages_of(const std::vector<stage_times>& times, bool gpu) {
  nlohmann::ordered_json out;
  if (gpu)
    out["upload"] = stage(times, [](const stage_times& t) { return t.upload_s; });
  out["rays"] = stage(times, [](const stage_times& t) { return t.rays_s; });
  out["integrate"] = stage(times, [](const stage_times& t) { return t.integrate_s; });
  out["extract"] = stage(times, [](const stage_times& t) { return t.extract_s; });
  if (gpu)
    out["device"] = stage(times, [](const stage_times& t) { return t.device_s(); });
  out["total"] = stage(times, [](const stage_times& t) { return t.total_s; });
  return out;
}

void print(const nlohmann::ordered_json& result, std::ostream& out) {
  out.precision(3);
  const auto keyframes = result["keyframes"].get<uint64_t>();
  out << keyframes << " keyframes, " << result["points"].get<uint64_t>() / keyframes << " points each, "
      << result["voxel_m"].get<double>() << " m voxels, "
      << (result.contains("device") ? result["backend"].get<std::string>() : "one thread of the CPU") << '\n';
  for (const auto& [name, s] : result["stages"].items())
    out << "  " << name << std::string(11 - std::min<size_t>(name.size(), 10), ' ') << s["median_ms"].get<double>()
        << " ms median, " << s["p99_ms"].get<double>() << " ms p99\n";
  if (result.contains("device")) {
    const auto& d = result["device"];
    out << "  each       " << d["kernels"].get<double>() << " kernels, " << d["copies"].get<double>() << " copies, "
        << d["bytes_up"].get<double>() / 1e6 << " MB up at " << d["upload_gb_per_s"].get<double>() << " GB/s\n";
  }
  if (result.contains("throughput")) {
    const auto& t = result["throughput"];
    out << "  throughput " << t["keyframes_per_s"].get<double>() << " keyframes/s, " << t["speedup"].get<double>()
        << " times that of one at a time\n";
  }
  out << "  mesh       " << result["triangles"].get<uint64_t>() << " triangles, " << result["vertices"].get<uint64_t>()
      << " vertices\n  memory     " << result["field_bytes"].get<uint64_t>() / 1000000 << " MB field, "
      << result["peak_rss_bytes"].get<uint64_t>() / 1000000 << " MB peak resident\n  map        "
      << result["map_hash"].get<std::string>() << std::endl;
}

} // namespace

int bench_command(const offline_setup& setup, bool json, std::ostream& out) {
  const ending end(setup, "bench");
  const auto map = map_settings_for(setup, end.token());
  std::stop_source stop; // when a map can take no more
  const std::stop_callback when_told(end.token(), [&stop] { stop.request_stop(); });
  const auto first_look = make_source(setup.source, setup.input);
  const auto changes = first_look->brings_changes(), repeat = end.is_needed() || first_look->ids_repeat();
  const auto make = [&](const offline_devices& devices, uint32_t threads) {
    auto options = checked_options(map, threads);
    options.ids_repeat = repeat;
    options.keep_rays = changes;
    options.extract_each = true;
    options.on_failure = [stop]() mutable { stop.request_stop(); };
    return std::make_unique<offline_map>(map, devices.all, std::move(options));
  };
  const auto devices = open_offline_devices(setup.backend, map, 1);
  const bool gpu = devices.are_gpus;
  times_file listed(setup.times_file);
  // Decoding happens in between, in this thread, so that nothing runs beside what is measured.
  auto input = setup.input;
  input.sequence.prefetch_threads = 0;
  const auto source = make_source(setup.source, input);
  const auto one = make(devices, 1);
  nlohmann::ordered_json throughput;
  const auto run = [&](keyframe_sink& sink) {
    progress_sink shown(sink, "bench", source->total(), setup.progress);
    if (gpu) {
      pinning_sink pinning(shown, *devices.all.front());
      source->run(pinning, stop.get_token());
    } else {
      source->run(shown, stop.get_token());
    }
  };
  if (setup.threads > 1) {
    const auto many = make(open_offline_devices(setup.backend, map, setup.threads), setup.threads);
    const uint32_t rounds = gpu ? 20 : 1;
    throughput_sink sink(*one, *many, rounds);
    run(sink);
    sink.flush();
    if (rounds == 1 && many->stats().hash != one->stats().hash)
      throw std::runtime_error("one keyframe at a time and several under way made different maps");
    const auto keyframes = static_cast<double>(one->counts().keyframes);
    const double one_per_s = keyframes / sink.one_s, many_per_s = rounds * keyframes / sink.many_s;
    throughput = {{"threads", setup.threads},
                  {"keyframes", many->counts().keyframes},
                  {"keyframes_per_s", many_per_s},
                  {"one_thread_keyframes_per_s", one_per_s},
                  {"speedup", many_per_s / one_per_s}};
  } else {
    run(*one);
  }
  one->finish(); // throws what the work threw
  const auto counts = one->counts();
  if (const auto again = repetitions_text(counts); !again.empty())
    std::cerr << "tessera: bench: " << again << std::endl;
  if (counts.keyframes == 0)
    throw std::runtime_error(setup.source + " has no usable keyframe"
                             + (counts.last_reason.empty() ? "" : "; the last one: " + counts.last_reason));

  const auto& times = one->times();
  listed.write(times);
  const auto peak = peak_rss_bytes(); // what follows is not part of a live map
  const auto stats = one->stats();
  const auto surface = weld(one->meshes());
  nlohmann::ordered_json result{
    {"backend", devices.name()},
    {"threads", setup.threads},
    {"voxel_m", static_cast<double>(map.voxel_m)},
    {"truncation_m", static_cast<double>(map.truncation_m)},
    {"keyframes", counts.keyframes},
    {"repetitions", counts.duplicates},
    {"conflicts", counts.conflicts},
    {"retracted", counts.kept_out},
    {"points", counts.points},
    {"rays", counts.rays},
    {"stages", stages_of(times, gpu)},
    {"triangles", surface.triangles()},
    {"vertices", surface.vertices()},
    {"field_bytes", stats.bytes},
    {"peak_rss_bytes", peak},
    {"map_hash", to_hex(stats.hash)},
  };
  if (gpu) {
    result["device"] = device_costs(times);
    result["devices"] = devices_of(devices.all);
  }
  if (!throughput.is_null())
    result["throughput"] = throughput;
  if (json)
    out << result.dump() << std::endl;
  else
    print(result, out);
  return 0;
}

} // namespace tessera
