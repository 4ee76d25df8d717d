#include "actors/device.hpp"

#include "actors/device_error.hpp"
#include "actors/instrumented.hpp"

#include <deque>
#include <functional>
#include <unordered_map>

namespace tessera {

namespace {

/// A device as its workers see it: they also say when they have finished a region's task.
using dispatcher_actor = device_actor::extend<caf::reacts_to<caf::idle_atom, region_key, uint32_t>>;

/// Does one task at a time.
class device_worker final : public instrumented<device_actor> {
public:
  device_worker(caf::actor_config& cfg, actor_context context, device_id id, std::shared_ptr<backend> fields,
                dispatcher_actor dispatcher, uint32_t index)
    : instrumented(cfg, std::move(context), {"device worker", {}, id, on_throw::go_on}), fields_{std::move(fields)},
      dispatcher_{std::move(dispatcher)}, index_{index} {}

  void on_exit() override { dispatcher_ = nullptr; }

  behavior_type make_behavior() override {
    return {
      [this](integrate_atom, region_key region, const std::vector<ray_job>& jobs) -> caf::result<void> {
        auto err = attempt(region, &numbers().integrate_time, [&] { fields_->integrate(region, jobs); });
        if (err)
          return err;
        return caf::unit;
      },
      [this](extract_atom, region_key region) -> caf::result<region_mesh> {
        region_mesh out{region, 0, {}};
        auto err = attempt(region, &numbers().extract_time, [&] { out.surface = fields_->extract(region); });
        if (err)
          return err;
        return out;
      },
      [this](status_atom, region_key region) -> caf::result<field_stats> {
        field_stats out;
        auto err = attempt(region, nullptr, [&] { out = fields_->stats(region); });
        if (err)
          return err;
        return out;
      },
      [this](drop_atom, region_key region) {
        auto err = attempt(region, nullptr, [&] { fields_->drop(region); });
        if (err)
          shared().write(severity::error, "device: dropping a region failed: " + describe(err));
      },
    };
  }

private:
  template <class F>
  caf::error attempt(region_key region, time_histogram* times, F work) {
    caf::error err;
    const auto begin = cycle_clock::ticks();
    try {
      work();
    } catch (...) {
      err = device_error(std::current_exception());
    }
    if (times)
      times->record(cycle_clock::to_ns(cycle_clock::ticks() - begin));
    if (err)
      record().set_error(describe(err));
    send(dispatcher_, caf::idle_atom::value, region, index_);
    return err;
  }

  std::shared_ptr<backend> fields_;
  dispatcher_actor dispatcher_;
  uint32_t index_;
};

/// Hands tasks to workers: one at a time for each region, first come first served.
class device final : public instrumented<dispatcher_actor> {
public:
  device(caf::actor_config& cfg, actor_context context, device_id id, std::shared_ptr<backend> fields, uint32_t workers)
    : instrumented(cfg, std::move(context), {"device", {}, id, on_throw::go_on}), id_{id}, fields_{std::move(fields)},
      worker_count_{std::max(1u, workers)} {}

  void on_exit() override {
    for (auto& worker : workers_)
      send_exit(worker, caf::exit_reason::user_shutdown);
    workers_.clear();
    regions_.clear();
    ready_.clear();
  }

  behavior_type make_behavior() override {
    record().set_detail(fields_->name());
    for (uint32_t i = 0; i < worker_count_; ++i) {
      workers_.push_back(spawn<device_worker, caf::linked>(shared(), id_, fields_, dispatcher_actor{this}, i));
      idle_.push_back(i);
    }
    return {
      [this](integrate_atom, region_key region, std::vector<ray_job>& jobs) {
        auto promise = make_response_promise<caf::typed_response_promise<void>>();
        add(region, [promise, region, jobs = std::move(jobs)](const device_actor& worker) mutable {
          promise.delegate(worker, integrate_atom::value, region, std::move(jobs));
        });
        return promise;
      },
      [this](extract_atom, region_key region) {
        auto promise = make_response_promise<caf::typed_response_promise<region_mesh>>();
        add(region,
            [promise, region](const device_actor& worker) mutable { promise.delegate(worker, extract_atom::value, region); });
        return promise;
      },
      [this](status_atom, region_key region) {
        auto promise = make_response_promise<caf::typed_response_promise<field_stats>>();
        add(region,
            [promise, region](const device_actor& worker) mutable { promise.delegate(worker, status_atom::value, region); });
        return promise;
      },
      [this](drop_atom, region_key region) {
        add(region, [this, region](const device_actor& worker) { send(worker, drop_atom::value, region); });
      },
      [this](caf::idle_atom, region_key region, uint32_t worker) {
        idle_.push_back(worker);
        auto i = regions_.find(region);
        if (i != regions_.end()) {
          if (i->second.empty()) {
            regions_.erase(i);
          } else {
            ready_.push_back({region, std::move(i->second.front())});
            i->second.pop_front();
          }
        }
        run();
      },
    };
  }

private:
  using task = std::function<void(const device_actor&)>;

  void add(region_key region, task work) {
    auto [i, free] = regions_.try_emplace(region);
    if (free)
      ready_.push_back({region, std::move(work)});
    else
      i->second.push_back(std::move(work));
    run();
  }

  void run() {
    while (!idle_.empty() && !ready_.empty()) {
      auto [region, work] = std::move(ready_.front());
      ready_.pop_front();
      auto worker = idle_.back();
      idle_.pop_back();
      work(workers_[worker]);
    }
  }

  device_id id_;
  std::shared_ptr<backend> fields_;
  uint32_t worker_count_;
  std::vector<device_actor> workers_;
  std::vector<uint32_t> idle_;
  /// Regions with a task that is ready or running; the tasks that wait behind it.
  std::unordered_map<region_key, std::deque<task>> regions_;
  std::deque<std::pair<region_key, task>> ready_;
};

} // namespace

device_actor spawn_device(caf::actor_system& system, actor_context context, device_id id, std::shared_ptr<backend> fields,
                          uint32_t workers) {
  context.numbers->devices.put(id, fields->name());
  return system.spawn<device>(std::move(context), id, std::move(fields), workers);
}

} // namespace tessera
