#pragma once
// A GPU over the toy field. It does what it is asked at once, and answers at once or when the test says so, in whatever thread.

#include "toy_service.hpp"

#include "gpu/cuda/async_fields.hpp"

#include <mutex>
#include <new>
#include <stdexcept>

namespace tessera::toy {

class gpu final : public cuda::async_fields {
public:
  explicit gpu(const mapping& map, std::string name = "toy GPU") : map_{map}, name_{std::move(name)} {}

  // -- what the test does to it ---------------------------------------------------------

  std::shared_ptr<control> by = std::make_shared<control>(); ///< of its field
  std::atomic<bool> broken{false};                           ///< everything that is asked fails from now on
  std::atomic<bool> refuses_rays{false}, fails_rays{false};
  std::atomic<bool> holds{false}; ///< answers wait for release()
  std::atomic<uint64_t> keyframes{0};

  /// Gives the answers that were held; answers how many.
  size_t release() {
    std::vector<std::function<void()>> now;
    {
      const std::lock_guard lock{mutex_};
      now.swap(held_);
    }
    for (const auto& answer : now)
      answer();
    return now.size();
  }

  // -- async_fields ---------------------------------------------------------------------

  [[nodiscard]] std::string name() const override { return name_; }
  void rays(std::shared_ptr<const keyframe_body> body, const pose& at, rays_done answer) override {
    std::vector<ray> out;
    ray_counts counts;
    const auto failure = attempt([&] {
      if (refuses_rays)
        throw std::bad_alloc{};
      if (auto torn = body->torn(); !torn.empty())
        throw cuda::torn_keyframe(torn);
      if (fails_rays)
        throw std::runtime_error("the toy GPU makes no rays");
      out = make(map_, *body, at, counts);
      ++keyframes;
    });
    tell([=, answer = std::move(answer)] { answer(out, counts, failure); });
  }
  void integrate(region_key region, std::vector<ray_job> jobs, done answer) override {
    const auto failure = attempt([&] { field_.integrate(region, jobs); });
    tell([=, answer = std::move(answer)] { answer(failure); });
  }
  void extract(region_key region, mesh_done answer) override {
    std::shared_ptr<const mesh> out;
    const auto failure = attempt([&] { out = field_.extract(region); });
    tell([=, answer = std::move(answer)] { answer(out, failure); });
  }
  void stats(region_key region, stats_done answer) override {
    field_stats out;
    const auto failure = attempt([&] { out = field_.stats(region); });
    tell([=, answer = std::move(answer)] { answer(out, failure); });
  }
  void drop(region_key region, done answer) override {
    const auto failure = attempt([&] { field_.drop(region); });
    tell([=, answer = std::move(answer)] { answer(failure); });
  }
  [[nodiscard]] cuda::memory_status memory() const override {
    cuda::memory_status out;
    out.blocks = 1000;
    out.free_blocks = 900;
    out.regions_here = 7;
    out.regions_away = 2;
    out.away_bytes = 4096;
    out.moves_out = 5;
    out.moves_in = 3;
    return out;
  }
  void break_down() override { broken = true; }

private:
  template <class F>
  std::exception_ptr attempt(F work) {
    try {
      if (broken)
        throw std::runtime_error("the toy GPU is broken");
      work();
      return nullptr;
    } catch (...) {
      return std::current_exception();
    }
  }
  void tell(std::function<void()> answer) {
    if (!holds)
      return answer();
    const std::lock_guard lock{mutex_};
    held_.push_back(std::move(answer));
  }

  mapping map_;
  std::string name_;
  field field_{map_, by};
  std::mutex mutex_;
  std::vector<std::function<void()>> held_;
};

inline std::vector<std::shared_ptr<gpu>> toy_gpus(size_t count) {
  std::vector<std::shared_ptr<gpu>> out;
  for (size_t i = 0; i < count; ++i)
    out.push_back(std::make_shared<gpu>(small_map(), "toy GPU " + std::to_string(i)));
  return out;
}

/// A service on these GPUs; `by` is the CPU's field, for when none is left.
inline service_config config_on(const std::vector<std::shared_ptr<gpu>>& gpus, const std::shared_ptr<control>& by) {
  auto out = config_for(by);
  out.gpus.assign(gpus.begin(), gpus.end());
  return out;
}

} // namespace tessera::toy
