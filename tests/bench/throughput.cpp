// How many keyframes a second the running service takes, with programs of our own alone: starts `tessera serve` on this machine,
// has several producers write segments of shared memory as fast as they are taken, and counts what is accepted.

#include "bench_support.hpp"

#include <CLI/CLI.hpp>

#include <sys/stat.h>

#include <atomic>
#include <deque>
#include <iostream>
#include <map>
#include <memory>

namespace {

using namespace tessera;
using namespace tessera::bench;
using steady = std::chrono::steady_clock;

struct plan : service_plan {
  uint32_t sources = 1, producers = 4, waiting = 32;
  bool viewer = false, prewritten = false;
  plan() {
    points = 273'000;
    seconds = 5;
    warm_up_s = 2;
  }
};

/// What the names of the segments of one source begin with.
std::string prefix_of(const std::string& all, uint32_t source) {
  return all + std::to_string(source) + "_";
}

/// Producers that write as fast as their segments are taken, `waiting` of them at most lying there at once. Each writes for
/// one source.
class producers {
public:
  producers(const plan& p, const std::vector<keyframe>& frames, const std::string& prefix) {
    for (uint32_t k = 0; k < p.producers; ++k)
      threads_.emplace_back([&p, &frames, prefix, k, this](const std::stop_token& stop) {
        producer::segment_options options;
        options.prefix = prefix_of(prefix, k % p.sources);
        const size_t bytes = 16 * frames.front().body->size();
        options.max_pending_bytes = std::max<size_t>(1, p.waiting / p.producers) * bytes;
        producer::segment_writer writer(options);
        for (uint64_t i = 0; !stop.stop_requested(); ++i) {
          const auto id = std::to_string(k) + "-" + std::to_string(i);
          const auto frame = frame_of(frames[(i * p.producers + k) % frames.size()], id);
          const producer::layout layout(frame);
          while (!stop.stop_requested())
            try {
              writer.write(id, layout);
              break;
            } catch (const producer::backlog_error&) {
              waits_.fetch_add(1, std::memory_order_relaxed);
              std::this_thread::sleep_for(std::chrono::microseconds{100});
            }
        }
      });
  }
  [[nodiscard]] uint64_t waits() const { return waits_.load(); }

private:
  std::atomic<uint64_t> waits_ = 0;
  std::vector<std::jthread> threads_;
};

/// Segments that were written before, under names that nobody looks at, and are given their names as fast as they are taken: what
/// their producers' work costs the machine is out of the picture.
class written_before {
public:
  written_before(const std::vector<keyframe>& frames, const std::string& prefix, uint32_t threads, uint64_t count)
    : prefix_(prefix), hidden_("/tessera_hidden_" + std::to_string(::getpid()) + "_"), count_(count), cleaner_(hidden_) {
    std::vector<std::jthread> writers;
    for (uint32_t k = 0; k < threads; ++k)
      writers.emplace_back([&, k] {
        producer::segment_options options;
        options.prefix = hidden_;
        options.max_pending_bytes = 0;
        producer::segment_writer writer(options);
        for (uint64_t i = k; i < count_; i += threads) {
          const auto frame = frame_of(frames[i % frames.size()], std::to_string(i));
          writer.write(frame.id, producer::layout(frame), "");
        }
      });
  }
  /// Gives names until all are given or it is told to stop.
  void publish(const plan& p, const std::stop_token& stop) {
    std::deque<std::string> given;
    for (uint64_t i = 0; i < count_ && !stop.stop_requested(); ++i) {
      const auto to = "/dev/shm" + prefix_of(prefix_, static_cast<uint32_t>(i % p.sources)) + std::to_string(i);
      std::filesystem::rename("/dev/shm" + hidden_ + std::to_string(i), to);
      given.push_back(to);
      struct stat s {};
      while (given.size() >= p.waiting && !stop.stop_requested())
        if (::stat(given.front().c_str(), &s) != 0)
          given.pop_front();
        else
          std::this_thread::sleep_for(std::chrono::microseconds{20});
    }
  }

private:
  std::string prefix_, hidden_;
  uint64_t count_;
  segment_cleaner cleaner_;
};

double counted(const std::string& page, const std::string& name) {
  const auto at = page.find("\n" + name + " ");
  return at == std::string::npos ? 0 : std::strtod(page.c_str() + at + 1 + name.size(), nullptr);
}

double sum_counted(const std::string& page, const std::string& family) {
  double sum = 0;
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);)
    if (line.rfind(family, 0) == 0 && (line[family.size()] == '{' || line[family.size()] == ' '))
      sum += std::strtod(line.c_str() + line.rfind(' '), nullptr);
  return sum;
}

nlohmann::ordered_json measure(const plan& p) {
  const auto frames = load_frames("bench_throughput", p.source, p.points, p.distinct);
  const auto prefix = "/tessera_bench_" + std::to_string(::getpid()) + "_";
  const segment_cleaner cleaner(prefix);
  std::unique_ptr<written_before> before;
  if (p.prewritten)
    before
      = std::make_unique<written_before>(frames, prefix, p.producers, static_cast<uint64_t>(4000 * (p.seconds + p.warm_up_s)));
  std::vector<std::string> arguments{"--shm-prefix", prefix, "--voxel-size", p.voxel, "--backend", p.backend};
  for (uint32_t k = 0; k < p.sources; ++k)
    arguments.push_back("shm:" + prefix_of(prefix, k));
  arguments.insert(arguments.end(), p.more.begin(), p.more.end());
  child_service running(p.binary, arguments);
  std::unique_ptr<patch_watcher> viewer;
  if (p.viewer)
    viewer = std::make_unique<patch_watcher>(running.port());
  struct reading {
    steady::time_point at = steady::now();
    std::string page;
    std::map<std::string, double> threads;
    double cpu_s;
  };
  const auto read = [&] {
    reading r;
    r.page = fetch(running.metrics_port(), "/metrics");
    r.at = steady::now();
    r.threads = cpu_by_thread(running.process());
    r.cpu_s = running.cpu_s();
    return r;
  };
  std::unique_ptr<producers> writers;
  std::jthread namer;
  if (before)
    namer = std::jthread([&](const std::stop_token& stop) { before->publish(p, stop); });
  else
    writers = std::make_unique<producers>(p, frames, prefix);
  std::this_thread::sleep_for(std::chrono::duration<double>(p.warm_up_s));
  const auto first = read();
  std::this_thread::sleep_for(std::chrono::duration<double>(p.seconds));
  const auto last = read();
  const auto waits = writers ? writers->waits() : 0;
  writers.reset();
  namer = {};
  if (!running.alive())
    throw std::runtime_error("the service ended by itself:\n" + running.last_words());
  const double wall_s = std::chrono::duration<double>(last.at - first.at).count();
  const auto since = [&](const char* name) { return sum_counted(last.page, name) - sum_counted(first.page, name); };
  const double accepted = counted(last.page, "tessera_keyframes_total{outcome=\"accepted\"}")
                          - counted(first.page, "tessera_keyframes_total{outcome=\"accepted\"}");
  nlohmann::ordered_json report{
    {"source", p.source},
    {"points", frames.front().body->size()},
    {"voxel_m", p.voxel},
    {"sources", p.sources},
    {"producers", p.producers},
    {"prewritten", p.prewritten},
    {"viewer", p.viewer},
    {"accepted_per_s", rounded(accepted / wall_s)},
    {"kernels_each", rounded(since("tessera_keyframe_kernels_total") / std::max(1.0, accepted))},
    {"copies_each", rounded(since("tessera_keyframe_copies_total") / std::max(1.0, accepted))},
    {"producers_waited", waits},
    {"cpu_cores", rounded((last.cpu_s - first.cpu_s) / wall_s)},
    {"cores_by_thread", cores_between(first.threads, last.threads, wall_s)},
    {"stages", stages_between(first.page, last.page)},
  };
  if (running.end() != 0)
    throw std::runtime_error("the service did not end cleanly:\n" + running.last_words());
  return report;
}

} // namespace

int main(int argc, char** argv) try {
  plan p;
  CLI::App app{"Measures how many keyframes a second the service takes. It is started for it, on this machine alone."};
  add_options(app, p);
  app.add_option("--sources", p.sources, "Sources of the service; each producer writes for one of them, so many for each")
    ->check(CLI::Range(1, 16));
  app.add_option("--producers", p.producers, "Threads that write")->check(CLI::Range(1, 64));
  app.add_option("--waiting", p.waiting, "So many segments lie there at once")->check(CLI::Range(1, 4096));
  app.add_flag("--viewer", p.viewer, "With one viewer");
  app.add_flag("--prewritten", p.prewritten,
               "All segments are written before, and only given their names: 4,000 for each second, in shared memory");
  CLI11_PARSE(app, argc, argv);
  if (p.producers % p.sources != 0)
    throw std::runtime_error("producers (--producers): " + std::to_string(p.producers) + " is not a multiple of the "
                             + std::to_string(p.sources) + " sources (--sources)");
  if (p.binary.empty())
    throw std::runtime_error("there is no tessera beside this program: give --binary or set TESSERA_BIN");
  print(measure(p), p.json, {"cores_by_thread", "stages"});
  return 0;
} catch (const std::exception& e) {
  std::cerr << "bench_throughput: " << e.what() << '\n';
  return 1;
}
