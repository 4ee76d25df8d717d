// One GPU doing the work of each of several that share a map, where there are not that many: of each keyframe it makes the rays
// if it is its turn, or else takes those that another one would hand it, and integrates and meshes the regions that would be its
// own. The slower share's keyframes a second, over those of the GPU with the whole map, is what so many GPUs could reach if the
// host can feed all of them and rays can be copied between them while others are worked.

#include "keeping_sink.hpp"

#include "gpu/cuda/async_fields.hpp"
#include "net/sources/source.hpp"
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
using device = std::shared_ptr<cuda::keyframe_device>;
using rays_for = std::vector<std::shared_ptr<const cuda::handed_rays>>;

struct plan {
  std::string source;
  mapping map;
  uint64_t limit = 0;
  uint32_t shares = 2, rounds = 20, streams = 5;
  int gpu = 0;
  uint64_t pool_bytes = uint64_t{4} << 30;
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
  cuda::keyframe_device::fused next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return count_ < most; });
    ++count_;
    return [this](const cuda::fuse_report& report, const std::exception_ptr& failure) {
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

struct measured {
  double keyframes_per_s = 0;
  map_hash once, hash; ///< when all keyframes were taken once, and in the end
  uint64_t regions = 0, blocks = 0;
  double handed = 0; ///< rays that it takes from others, mean of all keyframes
};

/// Takes all keyframes once, and then so many times against the clock.
template <class Take>
measured measure(const plan& p, const std::vector<keyframe>& frames, const device& on, Take take) {
  under_way asked;
  const auto pass = [&](uint32_t rounds) {
    for (uint32_t round = 0; round < rounds; ++round)
      for (size_t i = 0; i < frames.size(); ++i)
        take(i, asked.next());
    return asked.wait();
  };
  const auto fields = cuda::make_waiting_backend(std::shared_ptr<cuda::async_fields>(on));
  measured out;
  const auto regions = pass(1);
  out.regions = regions.size();
  for (const auto region : regions) {
    const auto stats = fields->stats(region);
    out.once += stats.hash;
    out.blocks += stats.blocks;
  }
  const auto start = steady::now();
  pass(p.rounds);
  const double seconds = std::chrono::duration<double>(steady::now() - start).count();
  out.keyframes_per_s = static_cast<double>(frames.size()) * p.rounds / seconds;
  for (const auto region : regions)
    out.hash += fields->stats(region).hash;
  return out;
}

measured measure_whole(const plan& p, const std::vector<keyframe>& frames, const device& on) {
  return measure(p, frames, on, [&](size_t i, cuda::keyframe_device::fused answer) {
    on->fuse(frames[i].body, frames[i].world_from_camera, {.mesh = true}, std::move(answer));
  });
}

/// Who makes the rays of keyframe i is number i modulo shares.
measured measure_share(const plan& p, const std::vector<keyframe>& frames, const std::vector<rays_for>& handed, const device& on,
                       uint32_t share) {
  const cuda::fuse_options how{.mesh = true, .share = share, .shares = p.shares};
  auto out = measure(p, frames, on, [&](size_t i, cuda::keyframe_device::fused answer) {
    if (i % p.shares == share)
      on->fuse(frames[i].body, frames[i].world_from_camera, how, std::move(answer), [](const rays_for&) {});
    else if (handed[i][share]->size() != 0)
      on->fuse_handed(handed[i][share], frames[i].world_from_camera, how, std::move(answer));
    else
      answer({}, nullptr);
  });
  for (size_t i = 0; i < frames.size(); ++i)
    out.handed += handed[i][share] ? static_cast<double>(handed[i][share]->size()) / static_cast<double>(frames.size()) : 0;
  return out;
}

/// What the maker of each keyframe's rays hands on; kept in its memory.
std::vector<rays_for> make_handed(const plan& p, const std::vector<keyframe>& frames, const std::vector<device>& makers) {
  std::vector<rays_for> out(frames.size());
  under_way asked;
  for (size_t i = 0; i < frames.size(); ++i) {
    const auto share = static_cast<uint32_t>(i % p.shares);
    makers[share]->fuse(frames[i].body, frames[i].world_from_camera, {.share = share, .shares = p.shares}, asked.next(),
                        [&out, i](rays_for rays) { out[i] = std::move(rays); });
  }
  asked.wait();
  return out;
}

nlohmann::ordered_json report_of(const measured& m) {
  return {{"keyframes_per_s", m.keyframes_per_s},
          {"regions", m.regions},
          {"blocks", m.blocks},
          {"map_hash", to_hex(m.once)},
          {"rays_handed", m.handed}};
}

nlohmann::ordered_json run(const plan& p) {
  source_options input;
  input.limit = p.limit;
  bench::keeping_sink kept("bench_share");
  const auto source = make_source(p.source, input);
  if (!source->total())
    throw std::runtime_error(p.source + " has no end: say how many keyframes (--limit)");
  source->run(kept, {});
  auto& frames = kept.frames;
  if (frames.empty())
    throw std::runtime_error(p.source + " has no usable keyframe");
  std::vector<device> makers;
  for (uint32_t i = 0; i < p.shares; ++i)
    makers.push_back(open(p));
  for (auto& frame : frames)
    frame.body = makers[0]->pin(*frame.body);
  measured whole;
  {
    const auto on = open(p);
    whole = measure_whole(p, frames, on);
  }
  const auto handed = make_handed(p, frames, makers);
  nlohmann::ordered_json shares = nlohmann::ordered_json::array();
  double slowest = 0;
  map_hash sum, sum_once;
  for (uint32_t share = 0; share < p.shares; ++share) {
    const auto on = open(p);
    const auto m = measure_share(p, frames, handed, on, share);
    slowest = share == 0 ? m.keyframes_per_s : std::min(slowest, m.keyframes_per_s);
    sum += m.hash;
    sum_once += m.once;
    shares.push_back(report_of(m));
  }
  return {{"gpu", makers[0]->name()},
          {"voxel_m", static_cast<double>(p.map.voxel_m)},
          {"keyframes", frames.size()},
          {"rounds", p.rounds},
          {"whole", report_of(whole)},
          {"shares", shares},
          {"ratio", slowest / whole.keyframes_per_s},
          {"hashes_add_up", sum == whole.hash && sum_once == whole.once}};
}

} // namespace

int main(int argc, char** argv) {
  CLI::App app{"One GPU doing the work of each of several that share a map"};
  plan p;
  bool json = false;
  app.add_option("SOURCE", p.source, "A folder (rgbd:DIR) or a synthetic scene (synthetic:room)")->required();
  app.add_option("--voxel-size", p.map.voxel_m, "Metres")->check(CLI::Range(0.001, 1.0))->capture_default_str();
  app.add_option("--limit", p.limit, "Keyframes, at most; 0: all")->check(CLI::Range(0, 10'000))->capture_default_str();
  app.add_option("--shares", p.shares, "GPUs that the map is for")
    ->check(CLI::Range(1u, cuda::most_shares))
    ->capture_default_str();
  app.add_option("--rounds", p.rounds, "How often all keyframes are taken")->check(CLI::Range(1, 10'000))->capture_default_str();
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
      std::cout << ", a share of it " << share["keyframes_per_s"].get<double>() << " (" << share["rays_handed"].get<double>()
                << " rays a keyframe from others)";
    std::cout << ": " << result["ratio"].get<double>() << " times. The hashes of the shares "
              << (result["hashes_add_up"].get<bool>() ? "add up to" : "DIFFER from") << " that of the whole" << std::endl;
    return result["hashes_add_up"].get<bool>() ? 0 : 1;
  } catch (const std::exception& e) {
    std::cerr << "bench_share: " << e.what() << '\n';
    return 1;
  }
}
