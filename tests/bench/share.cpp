// One GPU doing the work of each of several that share a map, where there are not that many: of each keyframe it makes the rays
// if it is its turn, or else takes those that a peer would make for it, and integrates and meshes the regions that would be its
// own. The slower share's keyframes a second, over those of the GPU with the whole map, is what so many GPUs could reach if the
// host can feed all of them and rays can be copied between them while others are worked.

#include "keeping_sink.hpp"

#include "gpu/cuda/fields/field_options.hpp"
#include "gpu/fields.hpp"
#include "net/sources/source_table.hpp"
#ifdef TESSERA_CUDA
#include "gpu/cuda/cuda_backend.hpp"
#endif

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <iostream>
#include <mutex>
#include <set>

namespace {

using namespace tessera;
using steady = std::chrono::steady_clock;
using device = std::shared_ptr<async_fields>;

struct plan {
  std::string source;
  map_settings map;
  uint64_t limit = 0;
  uint32_t shares = 2, rounds = 20, repeats = 7, streams = 5;
  int gpu = 0;
  uint64_t pool_bytes = uint64_t{1} << 30;
};

device open(const plan& p) {
#ifdef TESSERA_CUDA
  cuda::field_options options;
  options.pool_bytes = p.pool_bytes;
  options.ray_lanes = p.streams;
  return cuda::open_device(p.gpu, p.map, options);
#else
  (void)p;
  throw std::runtime_error("this program was built without CUDA");
#endif
}

/// Keyframes that a device has under way, not too many at once; and the regions that they touched.
class under_way {
public:
  static constexpr size_t most = 16;
  async_fields::take_done next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return count_ < most; });
    ++count_;
    return [this](const take_report& report, const std::exception_ptr& failure) {
      const std::scoped_lock done(mutex_);
      failure_ = failure_ ? failure_ : failure;
      regions_.insert(report.regions.begin(), report.regions.end());
      --count_;
      changed_.notify_all();
    };
  }
  /// Waits for all. Throws what one of them did.
  std::set<region_key> wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return count_ == 0; });
    if (failure_)
      std::rethrow_exception(failure_);
    return regions_;
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t count_ = 0;
  std::exception_ptr failure_;
  std::set<region_key> regions_;
};

/// A device with its part of the map, or all of it.
struct party {
  device on;
  std::set<region_key> regions;
  std::vector<double> keyframes_per_s; ///< of each repeat
  double rays_from_peers = 0;          ///< that it takes, mean of all keyframes

  [[nodiscard]] field_stats stats() const {
    field_stats out;
    for (const auto region : regions) {
      const auto one = stats_and_wait(*on, region);
      out.hash += one.hash;
      out.blocks += one.blocks;
    }
    return out;
  }
  [[nodiscard]] double median() const {
    auto sorted = keyframes_per_s;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
};

/// A keyframe's points, for a device that shares the map with others.
take_request request_of(const keyframe& frame, bool mesh, region_share share = {}) {
  take_request out;
  out.body = frame.body;
  out.world_from_camera = frame.world_from_camera;
  out.mesh = mesh;
  out.share = share;
  return out;
}

/// The same for rays that another device made of it.
take_request request_of(const keyframe& frame, std::shared_ptr<const peer_rays> rays, bool mesh, region_share share) {
  auto out = request_of(frame, mesh, share);
  out.body = nullptr;
  out.from_peer = std::move(rays);
  return out;
}

/// Has a device take each keyframe so many times, and waits. Returns keyframes a second.
template <class Take>
double pass(party& by, size_t keyframes, uint32_t rounds, Take take) {
  under_way asked;
  const auto start = steady::now();
  for (uint32_t round = 0; round < rounds; ++round)
    for (size_t i = 0; i < keyframes; ++i)
      take(i, asked.next());
  by.regions.merge(asked.wait());
  return static_cast<double>(keyframes) * rounds / std::chrono::duration<double>(steady::now() - start).count();
}

double take_whole(party& by, const std::vector<keyframe>& frames, uint32_t rounds) {
  return pass(by, frames.size(), rounds,
              [&](size_t i, async_fields::take_done answer) { by.on->take(request_of(frames[i], true), std::move(answer)); });
}

/// Who makes the rays of keyframe i is number i modulo shares. `for_peers`: those for its peers, by keyframe; kept in its memory.
double take_share(party& by, uint32_t share, uint32_t shares, const std::vector<keyframe>& frames,
                  const std::vector<rays_for_peers>& for_peers, uint32_t rounds) {
  const region_share mine{.index = share, .count = shares};
  return pass(by, frames.size(), rounds, [&](size_t i, async_fields::take_done answer) {
    if (i % shares == share) {
      auto what = request_of(frames[i], true, mine);
      what.to_peers = [](const rays_for_peers&) {};
      by.on->take(std::move(what), std::move(answer));
    } else if (for_peers[i][share]->size() != 0) {
      by.on->take(request_of(frames[i], for_peers[i][share], true, mine), std::move(answer));
    } else {
      answer({}, nullptr);
    }
  });
}

/// The rays that each keyframe's maker makes for its peers. Its own part of it is in its fields then.
std::vector<rays_for_peers> make_for_peers(std::vector<party>& parties, const std::vector<keyframe>& frames) {
  const auto shares = static_cast<uint32_t>(parties.size());
  std::vector<rays_for_peers> out(frames.size());
  for (uint32_t share = 0; share < shares; ++share) {
    under_way asked;
    for (size_t i = share; i < frames.size(); i += shares) {
      auto what = request_of(frames[i], false, {.index = share, .count = shares});
      what.to_peers = [&out, i](rays_for_peers rays) { out[i] = std::move(rays); };
      parties[share].on->take(std::move(what), asked.next());
    }
    parties[share].regions.merge(asked.wait());
  }
  for (const auto& rays : out)
    for (uint32_t share = 0; share < shares; ++share)
      if (rays[share])
        parties[share].rays_from_peers += static_cast<double>(rays[share]->size()) / static_cast<double>(frames.size());
  return out;
}

/// The rest of each keyframe, so that every part of the map has all of them once.
void add_from_peers(std::vector<party>& parties, const std::vector<keyframe>& frames,
                    const std::vector<rays_for_peers>& for_peers) {
  const auto shares = static_cast<uint32_t>(parties.size());
  for (uint32_t share = 0; share < shares; ++share) {
    under_way asked;
    for (size_t i = 0; i < frames.size(); ++i)
      if (for_peers[i][share])
        parties[share].on->take(request_of(frames[i], for_peers[i][share], false, {.index = share, .count = shares}),
                                asked.next());
    parties[share].regions.merge(asked.wait());
  }
}

nlohmann::ordered_json report_of(const party& by, const field_stats& once) {
  return {{"keyframes_per_s", by.median()}, {"repeats", by.keyframes_per_s}, {"regions", by.regions.size()},
          {"blocks", once.blocks},          {"map_hash", to_hex(once.hash)}, {"rays_from_peers", by.rays_from_peers}};
}

std::vector<field_stats> stats_of(const std::vector<party>& parties) {
  std::vector<field_stats> out;
  for (const auto& one : parties)
    out.push_back(one.stats());
  return out;
}
map_hash hash_of(const std::vector<field_stats>& parts) {
  map_hash sum;
  for (const auto& one : parts)
    sum += one.hash;
  return sum;
}

nlohmann::ordered_json run(const plan& p) {
  source_options input;
  input.sequence.limit = p.limit;
  bench::keeping_sink kept("bench_share");
  const auto source = make_source(p.source, input);
  if (!source->total())
    throw std::runtime_error(p.source + " has no end: say how many keyframes (--limit)");
  source->run(kept, {});
  auto& frames = kept.frames;
  if (frames.empty())
    throw std::runtime_error(p.source + " has no usable keyframe");
  party whole;
  whole.on = open(p);
  std::vector<party> parties(p.shares);
  for (auto& each : parties)
    each.on = open(p);
  for (auto& frame : frames)
    frame.body = whole.on->pin(*frame.body);
  const auto for_peers = make_for_peers(parties, frames);
  add_from_peers(parties, frames, for_peers);
  take_whole(whole, frames, 1);
  const auto once = whole.stats();
  const auto parts = stats_of(parties);
  const bool add_up_once = hash_of(parts) == once.hash;
  for (uint32_t repeat = 0; repeat <= p.repeats; ++repeat) { // in turns; the first is to warm up
    const auto note = [repeat](party& by, double per_s) {
      if (repeat != 0)
        by.keyframes_per_s.push_back(per_s);
    };
    note(whole, take_whole(whole, frames, p.rounds));
    for (uint32_t share = 0; share < p.shares; ++share)
      note(parties[share], take_share(parties[share], share, p.shares, frames, for_peers, p.rounds));
  }
  const bool add_up = add_up_once && hash_of(stats_of(parties)) == whole.stats().hash;
  nlohmann::ordered_json shares = nlohmann::ordered_json::array();
  double slowest = parties[0].median();
  for (uint32_t share = 0; share < p.shares; ++share) {
    shares.push_back(report_of(parties[share], parts[share]));
    slowest = std::min(slowest, parties[share].median());
  }
  return {{"gpu", whole.on->name()},           {"voxel_m", static_cast<double>(p.map.voxel_m)},
          {"keyframes", frames.size()},        {"rounds", p.rounds},
          {"whole", report_of(whole, once)},   {"shares", shares},
          {"ratio", slowest / whole.median()}, {"hashes_add_up", add_up}};
}

} // namespace

int main(int argc, char** argv) {
  CLI::App app{"One GPU doing the work of each of several that share a map"};
  plan p;
  bool json = false;
  app.add_option("SOURCE", p.source, "A folder (rgbd:DIR) or a synthetic scene (synthetic:room)")->required();
  app.add_option("--voxel-size", p.map.voxel_m, "Metres")->check(CLI::Range(0.001, 1.0))->capture_default_str();
  app.add_option("--limit", p.limit, "Keyframes, at most; 0: all")->check(CLI::Range(0, 10'000))->capture_default_str();
  app.add_option("--shares", p.shares, "GPUs that the map is for")->check(CLI::Range(1u, most_shares))->capture_default_str();
  app.add_option("--repeats", p.repeats, "How often the whole map and the shares are measured, in turns")
    ->check(CLI::Range(1, 1000))
    ->capture_default_str();
  app.add_option("--rounds", p.rounds, "How often all keyframes are taken each time")
    ->check(CLI::Range(1, 10'000))
    ->capture_default_str();
  app.add_option("--streams", p.streams, "Keyframes that the GPU takes in at once")
    ->check(CLI::Range(1, 64))
    ->capture_default_str();
  app.add_option("--gpu", p.gpu, "Its number")->check(CLI::Range(0, 1023))->capture_default_str();
  app.add_option("--memory-pool", p.pool_bytes, "Of voxels, for each share: bytes, or 4GiB")
    ->transform(CLI::AsSizeValue(false))
    ->capture_default_str();
  app.add_flag("--json", json, "Print one JSON object");
  CLI11_PARSE(app, argc, argv);
  p.map.truncation_m = 3 * p.map.voxel_m;
  try {
    const auto result = run(p);
    if (json) {
      std::cout << result.dump() << std::endl;
      return 0;
    }
    std::cout.precision(4);
    std::cout << result["gpu"].get<std::string>() << ", " << p.map.voxel_m << " m voxels: the whole map "
              << result["whole"]["keyframes_per_s"].get<double>() << " keyframes/s";
    for (const auto& share : result["shares"])
      std::cout << ", a share of it " << share["keyframes_per_s"].get<double>() << " (" << share["rays_from_peers"].get<double>()
                << " rays a keyframe from others)";
    std::cout << ": " << result["ratio"].get<double>() << " times. The hashes of the shares "
              << (result["hashes_add_up"].get<bool>() ? "add up to" : "DIFFER from") << " that of the whole" << std::endl;
    return result["hashes_add_up"].get<bool>() ? 0 : 1;
  } catch (const std::exception& e) {
    std::cerr << "bench_share: " << e.what() << '\n';
    return 1;
  }
}
