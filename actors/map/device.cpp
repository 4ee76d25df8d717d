#include "actors/map/device.hpp"

#include "actors/base/instrumented.hpp"
#include "actors/map/device_error.hpp"
#include "gpu/region_slices.hpp"

#include <optional>
#include <unordered_map>

namespace tessera::detail {

/// The outcome of a request to the fields. Made in a thread of the fields; stays in the process.
struct field_answer {
  uint64_t request = 0;
  std::exception_ptr failure;
  std::shared_ptr<const mesh> surface{}; ///< of an extraction
  field_stats stats{};                   ///< of a count
  std::shared_ptr<take_report> taken{};  ///< of a keyframe
  std::shared_ptr<made_rays> rays{};     ///< of rays alone
  shared_image image{};                  ///< of a region
  std::shared_ptr<region_slice> slice{}; ///< of a plane
};

} // namespace tessera::detail

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::detail::field_answer)

namespace tessera {

namespace {

using detail::field_answer;

/// A device as its fields see it: their answers are messages to it.
using device_self = device_actor::extend<caf::reacts_to<caf::ok_atom, field_answer>>;

std::string describe_memory(const std::string& name, const memory_status& m) {
  if (!m.has_pool)
    return name + ": " + std::to_string(m.blocks) + " blocks in " + std::to_string(m.regions_here) + " regions";
  return name + ": " + std::to_string(m.blocks - m.free_blocks) + " of " + std::to_string(m.blocks) + " blocks used, "
         + std::to_string(m.regions_here) + " regions here, " + std::to_string(m.regions_evicted) + " in host memory ("
         + std::to_string(m.evicted_bytes) + " bytes), " + std::to_string(m.evictions) + " moved out and "
         + std::to_string(m.page_ins) + " back";
}

class device final : public instrumented<device_self> {
public:
  device(caf::actor_config& cfg, actor_context context, device_id id, const map_settings& map,
         std::shared_ptr<async_fields> fields)
    : instrumented(cfg, std::move(context), {role::device, {}, id, on_throw::go_on}), map_{map}, fields_{std::move(fields)} {}

  void on_exit() override {
    // Promises keep this actor alive, and CAF tells no requester of one that is dropped. Answers that come later find no actor.
    for (auto& [number, what] : std::exchange(asked_, {}))
      what.failed(caf::make_error(ec::restarting, std::string{"the device ended"}));
    fields_ = nullptr;
  }

  behavior_type make_behavior() override {
    record().set_detail([name = fields_->name(), fields = std::weak_ptr{fields_}] {
      const auto alive = fields.lock();
      return alive ? describe_memory(name, alive->memory()) : name;
    });
    return {
      [this](take_atom, take_request& what) {
        auto promise = make_response_promise<caf::typed_response_promise<take_report>>();
        what.times = true;
        ask({nullptr,
             [this, promise](field_answer& a) mutable {
               const auto& report = *a.taken;
               if (report.counts.valid > 0)
                 numbers().rays_time.record(to_ns(report.upload_ms + report.rays_ms));
               numbers().integrate_time.record(to_ns(report.integrate_ms));
               numbers().device_kernels.fetch_add(report.kernels, std::memory_order_relaxed);
               numbers().device_copies.fetch_add(report.copies, std::memory_order_relaxed);
               promise.deliver(std::move(*a.taken));
             },
             [promise](const caf::error& err) mutable { promise.deliver(err); }},
            [&](auto tell) {
              fields_->take(std::move(what), [tell](take_report report, std::exception_ptr failure) {
                tell({0, std::move(failure), nullptr, {}, std::make_shared<take_report>(std::move(report))});
              });
            });
        return promise;
      },
      [this](rays_atom, const keyframe& frame) {
        auto promise = make_response_promise<caf::typed_response_promise<made_rays>>();
        ask(
          {&numbers().rays_time, [promise](field_answer& a) mutable { promise.deliver(std::move(*a.rays)); },
           [promise](const caf::error& err) mutable { promise.deliver(err); }},
          [&](auto tell) {
            fields_->rays(
              frame.body, frame.world_from_camera,
              [tell](std::vector<ray> rays, const ray_counts& counts, std::exception_ptr failure) {
                tell(
                  {0, std::move(failure), nullptr, {}, nullptr, std::make_shared<made_rays>(made_rays{std::move(rays), counts})});
              });
          });
        return promise;
      },
      [this](extract_atom, region_key region) {
        return extract(region, [&](auto answer) { fields_->extract_soon(region, std::move(answer)); });
      },
      [this](mesh_atom, region_key region) {
        return extract(region, [&](auto answer) { fields_->extract(region, std::move(answer)); });
      },
      [this](slice_atom, region_key region, const field_plane& plane) {
        auto promise = make_response_promise<caf::typed_response_promise<region_slice>>();
        ask({nullptr, [promise](field_answer& a) mutable { promise.deliver(std::move(*a.slice)); },
             [promise](const caf::error& err) mutable { promise.deliver(err); }},
            [&](auto tell) {
              slice_region(*fields_, map_, region, plane, [tell](region_slice its, std::exception_ptr failure) {
                field_answer answer;
                answer.failure = std::move(failure);
                answer.slice = std::make_shared<region_slice>(std::move(its));
                tell(std::move(answer));
              });
            });
        return promise;
      },
      [this](status_atom, region_key region) {
        auto promise = make_response_promise<caf::typed_response_promise<field_stats>>();
        ask({nullptr, [promise](field_answer& a) mutable { promise.deliver(a.stats); },
             [promise](const caf::error& err) mutable { promise.deliver(err); }},
            [&](auto tell) {
              fields_->stats(region, [tell](const field_stats& stats, std::exception_ptr failure) {
                tell({0, std::move(failure), nullptr, stats});
              });
            });
        return promise;
      },
      [this](export_atom, region_key region) {
        auto promise = make_response_promise<caf::typed_response_promise<shared_image>>();
        ask({nullptr, [promise](field_answer& a) mutable { promise.deliver(a.image); },
             [promise](const caf::error& err) mutable { promise.deliver(err); }},
            [&](auto tell) {
              fields_->export_region(region, [tell](region_image image, std::exception_ptr failure) {
                tell({0, std::move(failure), nullptr, {}, nullptr, nullptr, std::make_shared<region_image>(std::move(image))});
              });
            });
        return promise;
      },
      [this](import_atom, region_key region, const shared_image& image) {
        auto promise = make_response_promise<caf::typed_response_promise<region_key>>();
        ask(
          {nullptr, [promise, region](field_answer&) mutable { promise.deliver(region); },
           [promise](const caf::error& err) mutable { promise.deliver(err); }},
          [&](auto tell) {
            fields_->add_region(region, std::move(*image), [tell](std::exception_ptr failure) { tell({0, std::move(failure)}); });
          });
        return promise;
      },
      [this](drop_atom, region_key region) { forget([&](auto tell) { fields_->drop(region, tell); }); },
      [this](clear_atom) { forget([&](auto tell) { fields_->clear(tell); }); },
      [this](caf::ok_atom, field_answer& answer) { answered(answer); },
    };
  }

private:
  /// What to do with an answer, in this actor: promises must not be used in other threads.
  struct request {
    time_histogram* times;
    std::function<void(field_answer&)> done;
    std::function<void(const caf::error&)> failed;
    std::optional<region_key> meshes{}; ///< of an extraction
    uint64_t begin = 0;
  };

  /// Sends an answer to this actor, if it still exists. Threads: any.
  struct teller {
    caf::weak_actor_ptr device;
    uint64_t request;
    void operator()(field_answer answer) const {
      answer.request = request;
      if (const auto alive = device.lock())
        caf::anon_send(caf::actor_cast<caf::actor>(alive), caf::ok_atom::value, std::move(answer));
    }
  };

  static uint64_t to_ns(double ms) { return static_cast<uint64_t>(ms * 1e6); }

  template <class Start>
  caf::typed_response_promise<region_mesh> extract(region_key region, Start start) {
    auto promise = make_response_promise<caf::typed_response_promise<region_mesh>>();
    ask({&numbers().extract_time,
         [promise, region](field_answer& a) mutable {
           promise.deliver(region_mesh{region, 0, std::move(a.surface)});
         },
         [promise](const caf::error& err) mutable { promise.deliver(err); }, region},
        [&](auto tell) {
          start([tell](std::shared_ptr<const mesh> surface, std::exception_ptr failure) {
            tell({0, std::move(failure), std::move(surface)});
          });
        });
    return promise;
  }

  template <class Start>
  void forget(Start start) {
    ask({nullptr, [](field_answer&) {},
         [this](const caf::error& err) {
           if (leaves_fields_whole(err)) // else the device ends, and the supervisor tells why
             shared().write(severity::error, "device: forgetting failed: " + describe(err));
         }},
        [&](auto tell) { start([tell](std::exception_ptr failure) {
                           tell({0, std::move(failure)});
                         }); });
  }

  template <class Start>
  void ask(request what, Start start) {
    what.begin = cycle_clock::ticks();
    const auto number = ++requests_;
    asked_.emplace(number, std::move(what));
    record().set_pending(asked_.size());
    try {
      start(teller{caf::weak_actor_ptr{ctrl()}, number});
    } catch (...) {
      field_answer not_even_asked{number, std::current_exception()};
      answered(not_even_asked);
    }
  }

  void answered(field_answer& answer) {
    const auto i = asked_.find(answer.request);
    if (i == asked_.end())
      return;
    auto what = std::move(i->second);
    asked_.erase(i);
    record().set_pending(asked_.size());
    record().advance();
    if (what.times)
      what.times->record(cycle_clock::to_ns(cycle_clock::ticks() - what.begin));
    if (!answer.failure)
      return what.done(answer);
    auto err = device_error(answer.failure);
    if (what.meshes && !leaves_fields_whole(err))
      err = caf::make_error(ec::device_failed, context_of(err), *what.meshes);
    record().set_error(describe(err));
    what.failed(err);
    if (!leaves_fields_whole(err))
      quit(err); // the fields are lost, and whatever else is asked of them fails
  }

  const map_settings map_;
  std::shared_ptr<async_fields> fields_;
  std::unordered_map<uint64_t, request> asked_; ///< and not answered
  uint64_t requests_ = 0;
};

} // namespace

device_actor spawn_device(caf::actor_system& system, actor_context context, device_id id, const map_settings& map,
                          std::shared_ptr<async_fields> fields) {
  context.numbers->devices.put(id, fields->name(), [weak = std::weak_ptr{fields}]() -> std::optional<memory_status> {
    const auto alive = weak.lock();
    if (const auto status = alive ? alive->memory() : memory_status{}; status.has_pool)
      return status;
    return {};
  });
  return system.spawn<device>(std::move(context), id, map, std::move(fields));
}

} // namespace tessera
