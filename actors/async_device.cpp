#include "actors/async_device.hpp"

#include "actors/device_error.hpp"
#include "actors/instrumented.hpp"

#include <unordered_map>

namespace tessera::detail {

/// What a request to the fields came to. Made in a thread of the fields; stays in the process.
struct field_answer {
  uint64_t request = 0;
  std::exception_ptr failure;
  std::shared_ptr<const mesh> surface{}; ///< of an extraction
  field_stats stats{};                   ///< of a count
};

} // namespace tessera::detail

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::detail::field_answer)

namespace tessera {

namespace {

using detail::field_answer;

/// A device as its fields see it: their answers are messages to it.
using async_device_self = device_actor::extend<caf::reacts_to<caf::ok_atom, field_answer>>;

std::string describe_memory(const std::string& name, const cuda::memory_status& m) {
  return name + ": " + std::to_string(m.blocks - m.free_blocks) + " of " + std::to_string(m.blocks) + " blocks used, "
         + std::to_string(m.regions_here) + " regions here, " + std::to_string(m.regions_away) + " in host memory ("
         + std::to_string(m.away_bytes) + " bytes), " + std::to_string(m.moves_out) + " moved out and "
         + std::to_string(m.moves_in) + " back";
}

class async_device final : public instrumented<async_device_self> {
public:
  async_device(caf::actor_config& cfg, actor_context context, device_id id, std::shared_ptr<cuda::async_fields> fields)
    : instrumented(cfg, std::move(context), {"device", {}, id, on_throw::go_on}), fields_{std::move(fields)} {}

  void on_exit() override {
    // Promises hold this actor alive; their askers learn of its end from the supervisor. Answers that come later find nobody.
    asked_.clear();
    fields_ = nullptr;
  }

  behavior_type make_behavior() override {
    record().set_detail([name = fields_->name(), fields = std::weak_ptr{fields_}] {
      const auto alive = fields.lock();
      return alive ? describe_memory(name, alive->memory()) : name;
    });
    return {
      [this](integrate_atom, region_key region, std::vector<ray_job>& jobs) {
        auto promise = make_response_promise<caf::typed_response_promise<void>>();
        ask({&numbers().integrate_time, [promise = untyped(promise)](field_answer&) mutable { promise.deliver(caf::unit); },
             [promise = untyped(promise)](const caf::error& err) mutable { promise.deliver(err); }},
            [&](auto tell) {
              fields_->integrate(region, std::move(jobs), [tell](std::exception_ptr failure) { tell({0, std::move(failure)}); });
            });
        return promise;
      },
      [this](extract_atom, region_key region) {
        auto promise = make_response_promise<caf::typed_response_promise<region_mesh>>();
        ask({&numbers().extract_time,
             [promise, region](field_answer& a) mutable {
               promise.deliver(region_mesh{region, 0, std::move(a.surface)});
             },
             [promise](const caf::error& err) mutable { promise.deliver(err); }},
            [&](auto tell) {
              fields_->extract(region, [tell](std::shared_ptr<const mesh> surface, std::exception_ptr failure) {
                tell({0, std::move(failure), std::move(surface)});
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
      [this](drop_atom, region_key region) {
        ask({nullptr, [](field_answer&) {},
             [this](const caf::error& err) {
               if (err == ec::out_of_memory) // else the device ends, and the supervisor tells why
                 shared().write(severity::error, "device: dropping a region failed: " + describe(err));
             }},
            [&](auto tell) { fields_->drop(region, [tell](std::exception_ptr failure) {
                               tell({0, std::move(failure)});
                             }); });
      },
      [this](caf::ok_atom, field_answer& answer) { answered(answer); },
    };
  }

private:
  /// What is to be done about an answer, in this actor: promises are not for other threads.
  struct request {
    time_histogram* times;
    std::function<void(field_answer&)> done;
    std::function<void(const caf::error&)> failed;
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

  /// A typed promise of void cannot deliver.
  static caf::response_promise untyped(caf::typed_response_promise<void>& promise) { return promise; }

  template <class Start>
  void ask(request what, Start start) {
    what.begin = cycle_clock::ticks();
    const auto number = ++requests_;
    asked_.emplace(number, std::move(what));
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
    if (what.times)
      what.times->record(cycle_clock::to_ns(cycle_clock::ticks() - what.begin));
    if (!answer.failure)
      return what.done(answer);
    const auto err = device_error(answer.failure);
    record().set_error(describe(err));
    what.failed(err);
    if (err != ec::out_of_memory)
      quit(err); // the fields are lost, and whatever else is asked of them fails
  }

  std::shared_ptr<cuda::async_fields> fields_;
  std::unordered_map<uint64_t, request> asked_; ///< and not answered
  uint64_t requests_ = 0;
};

} // namespace

device_actor spawn_async_device(caf::actor_system& system, actor_context context, device_id id,
                                std::shared_ptr<cuda::async_fields> fields) {
  context.numbers->devices.put(id, fields->name(), [weak = std::weak_ptr{fields}]() -> std::optional<cuda::memory_status> {
    if (const auto alive = weak.lock())
      return alive->memory();
    return {};
  });
  return system.spawn<async_device>(std::move(context), id, std::move(fields));
}

} // namespace tessera
