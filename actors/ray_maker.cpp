#include "actors/ray_maker.hpp"

#include "actors/instrumented.hpp"

namespace tessera {

namespace {

class ray_maker final : public instrumented<ray_maker_actor> {
public:
  ray_maker(caf::actor_config& cfg, actor_context context, const mapping& map, ray_functions functions)
    : instrumented(cfg, std::move(context), {"ray maker"}), map_{map}, functions_{std::move(functions)} {}

  behavior_type make_behavior() override {
    return {
      [this](integrate_atom, const keyframe& frame) {
        const auto begin = cycle_clock::ticks();
        made_rays out;
        auto rays = functions_.make(map_, *frame.body, frame.world_from_camera, out.counts);
        out.torn = frame.body->torn();
        if (out.torn.empty() && !rays.empty())
          out.parts = functions_.split(map_, rays, frame.world_from_camera, out.beyond);
        rays.shrink_to_fit();
        out.rays = std::make_shared<const std::vector<ray>>(std::move(rays));
        numbers().rays_time.record(cycle_clock::to_ns(cycle_clock::ticks() - begin));
        return out;
      },
    };
  }

private:
  mapping map_;
  ray_functions functions_;
};

} // namespace

ray_maker_actor spawn_ray_maker(caf::actor_system& system, actor_context context, const mapping& map, ray_functions functions) {
  return system.spawn<ray_maker>(std::move(context), map, std::move(functions));
}

} // namespace tessera
