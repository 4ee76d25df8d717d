#include "actors/ray_maker.hpp"

#include "actors/instrumented.hpp"
#include "gpu/bounds.hpp"

#include <new>
#include <stdexcept>
#include <unordered_map>

namespace tessera::detail {

/// The rays that a GPU made, or why it did not. Made in a thread of the GPU; stays in the process.
struct gpu_rays {
  uint64_t request = 0;
  std::vector<ray> rays;
  ray_counts counts;
  std::exception_ptr failure;
};

} // namespace tessera::detail

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::detail::gpu_rays)

namespace tessera {

namespace {

using detail::gpu_rays;

/// A ray maker as GPUs see it: their answers are messages to it.
using ray_maker_self = ray_maker_actor::extend<caf::reacts_to<caf::ok_atom, gpu_rays>>;

class ray_maker final : public instrumented<ray_maker_self> {
public:
  ray_maker(caf::actor_config& cfg, actor_context context, const mapping& map, ray_functions functions,
            std::shared_ptr<gpu_turns> gpus)
    : instrumented(cfg, std::move(context), {"ray maker"}), map_{map}, functions_{std::move(functions)}, gpus_{std::move(gpus)} {}

  void on_exit() override {
    // Promises hold this actor alive. Answers that come later find nobody.
    for (auto& [number, one] : asked_)
      one.promise.deliver(caf::make_error(ec::restarting, std::string{"the ray maker ended"}));
    asked_.clear();
    gpus_ = nullptr;
  }

  behavior_type make_behavior() override {
    return {
      [this](integrate_atom, const keyframe& frame) {
        auto promise = make_response_promise<caf::typed_response_promise<made_rays>>();
        request what{promise, frame, gpus_ ? gpus_->next() : nullptr, cycle_clock::ticks()};
        if (what.gpu)
          ask(std::move(what));
        else
          make_here(what);
        return promise;
      },
      [this](caf::ok_atom, gpu_rays& answer) { answered(answer); },
    };
  }

private:
  struct request {
    caf::typed_response_promise<made_rays> promise;
    keyframe frame;
    gpu_turns::gpu gpu;
    uint64_t begin = 0;
  };

  void ask(request what) {
    const auto number = ++requests_;
    const auto gpu = what.gpu;
    const auto body = what.frame.body;
    const auto at = what.frame.world_from_camera;
    asked_.emplace(number, std::move(what));
    try {
      gpu->rays(body, at,
                [self = caf::weak_actor_ptr{ctrl()}, number](std::vector<ray> rays, const ray_counts& counts,
                                                             std::exception_ptr failure) {
                  if (const auto alive = self.lock())
                    caf::anon_send(caf::actor_cast<caf::actor>(alive), caf::ok_atom::value,
                                   gpu_rays{number, std::move(rays), counts, std::move(failure)});
                });
    } catch (...) {
      gpu_rays not_even_asked{number, {}, {}, std::current_exception()};
      answered(not_even_asked);
    }
  }

  void answered(gpu_rays& answer) {
    const auto i = asked_.find(answer.request);
    if (i == asked_.end())
      return;
    auto what = std::move(i->second);
    asked_.erase(i);
    if (!answer.failure)
      return attempt(what, [&] { finish(what, std::move(answer.rays), answer.counts); });
    try {
      std::rethrow_exception(answer.failure);
    } catch (const cuda::torn_keyframe& e) {
      made_rays out;
      out.rays = std::make_shared<const std::vector<ray>>();
      out.torn = e.what();
      what.promise.deliver(std::move(out));
      return;
    } catch (const std::bad_alloc&) {
      // It may have room for the next one.
    } catch (const std::invalid_argument&) {
      // It cannot take as many points as the CPU can.
    } catch (const std::exception& e) {
      give_up(what.gpu, e.what());
    } catch (...) {
      give_up(what.gpu, "it threw something that is no exception");
    }
    make_here(what);
  }

  void give_up(const gpu_turns::gpu& gpu, const std::string& reason) {
    record().set_error(reason);
    if (gpus_->remove(gpu))
      shared().write(severity::error, "rays are made without " + gpu->name() + " from now on: " + reason);
  }

  void make_here(request& what) {
    attempt(what, [&] {
      ray_counts counts;
      std::vector<ray> rays;
      std::string too_large;
      try {
        rays = functions_.make(map_, *what.frame.body, what.frame.world_from_camera, counts);
      } catch (const keyframe_too_large& e) {
        too_large = e.what();
      }
      finish(what, std::move(rays), counts, std::move(too_large));
    });
  }

  /// Sorts the rays by region and answers, if the points could be read whole.
  void finish(request& what, std::vector<ray> rays, const ray_counts& counts, std::string too_large = {}) {
    made_rays out;
    out.counts = counts;
    out.too_large = std::move(too_large);
    out.torn = what.frame.body->torn();
    if (out.torn.empty() && !rays.empty())
      try {
        out.parts = functions_.split(map_, rays, what.frame.world_from_camera, out.beyond);
      } catch (const keyframe_too_large& e) {
        out.too_large = e.what();
      }
    rays.shrink_to_fit();
    out.rays = std::make_shared<const std::vector<ray>>(std::move(rays));
    numbers().rays_time.record(cycle_clock::to_ns(cycle_clock::ticks() - what.begin));
    what.promise.deliver(std::move(out));
  }

  /// Tells whoever asked if it cannot be done: this may be another message than the one that asked. ec::out_of_memory: there is
  /// no memory for the rays.
  template <class F>
  void attempt(request& what, F work) {
    try {
      work();
    } catch (const std::bad_alloc&) {
      record().set_error("no memory for a keyframe's rays");
      what.promise.deliver(caf::make_error(ec::out_of_memory));
    } catch (...) {
      what.promise.deliver(caf::make_error(ec::internal, note(std::current_exception())));
    }
  }

  mapping map_;
  ray_functions functions_;
  std::shared_ptr<gpu_turns> gpus_;
  std::unordered_map<uint64_t, request> asked_; ///< and not answered by their GPUs
  uint64_t requests_ = 0;
};

} // namespace

ray_maker_actor spawn_ray_maker(caf::actor_system& system, actor_context context, const mapping& map, ray_functions functions,
                                std::shared_ptr<gpu_turns> gpus) {
  return system.spawn<ray_maker>(std::move(context), map, std::move(functions), std::move(gpus));
}

} // namespace tessera
