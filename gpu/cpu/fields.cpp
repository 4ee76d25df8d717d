#include "gpu/fields.hpp"

#include "gpu/cpu/field_index.hpp"
#include "gpu/cpu/region_pool.hpp"
#include "gpu/cpu/taking.hpp"

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace tessera {

namespace {

/// What a request is answered with that has no value.
struct nothing {};

/// A request that is one task or job: does it, and answers. Ends itself.
template <class Do, class Answer>
class request final : public cpu::region_pool::work {
public:
  request(region_key of, Do&& what, Answer&& answer) : work(of), do_(std::move(what)), answer_(std::move(answer)) {}
  void run() noexcept override {
    decltype(do_()) value{};
    std::exception_ptr failure;
    try {
      value = do_();
    } catch (...) {
      failure = std::current_exception();
    }
    end(std::move(value), failure);
  }
  void let_go() noexcept override { end({}, cpu::fields_are_gone()); }

private:
  ~request() = default;
  void end(decltype(std::declval<Do>()()) value, const std::exception_ptr& failure) {
    const auto answer = std::move(answer_);
    delete this; // what it held is free before anybody hears of it
    answer(std::move(value), failure);
  }

  Do do_;
  Answer answer_;
};

class cpu_fields final : public async_fields {
public:
  cpu_fields(const map_settings& map, const cpu_options& options)
    : map_(map), fields_(map, options.cap_bytes), pool_(options.threads) {}

  [[nodiscard]] std::string name() const override { return "cpu"; }

  void take(take_request what, take_done answer) override {
    cpu::taking* made = nullptr;
    try {
      made = new cpu::taking(map_, fields_, pool_, std::move(what), std::move(answer));
    } catch (const std::bad_alloc&) {
      return answer({}, std::current_exception());
    }
    pool_.run(*made);
  }

  void rays(std::shared_ptr<const keyframe_body> body, const pose& at, rays_done answer) override {
    using result = std::pair<std::vector<ray>, ray_counts>;
    auto work = [this, body = std::move(body), at] {
      result out;
      out.first = cpu::make_whole_rays(map_, *body, at, out.second);
      return out;
    };
    auto told = [answer = std::move(answer)](result made, const std::exception_ptr& failure) {
      answer(std::move(made.first), made.second, failure);
    };
    if (auto* const made = make({}, work, told))
      pool_.run(*made);
  }

  [[nodiscard]] auto meshing(region_key region) {
    return [this, region] {
      auto* const entry = fields_.find(region);
      return entry != nullptr ? entry->extract() : std::make_shared<const mesh>();
    };
  }
  void extract(region_key region, mesh_done answer) override { ask(region, meshing(region), std::move(answer)); }

  void extract_soon(region_key region, mesh_done answer) override {
    auto work = meshing(region);
    if (auto* const made = make(region, work, answer))
      try {
        pool_.add_waiting(*made, most_extract_wait);
      } catch (const std::bad_alloc&) {
        made->let_go();
      }
  }

  void stats(region_key region, stats_done answer) override {
    ask(
      region,
      [this, region] {
        const auto* entry = fields_.find(region);
        return entry != nullptr ? entry->stats() : field_stats{};
      },
      std::move(answer));
  }

  void drop(region_key region, done answer) override {
    ask(
      region,
      [this, region] {
        fields_.drop(region);
        return nothing{};
      },
      [answer = std::move(answer)](nothing, const std::exception_ptr& failure) { answer(failure); });
  }

  void clear(done answer) override {
    struct all_drops {
      std::mutex mutex;
      std::exception_ptr failure;
      size_t left;
      done answer;
      void add(const std::exception_ptr& why) {
        std::unique_lock lock(mutex);
        failure = failure ? failure : why;
        if (--left != 0)
          return;
        lock.unlock();
        answer(failure);
      }
    };
    std::shared_ptr<all_drops> all;
    std::vector<region_key> regions;
    try {
      regions = pool_.regions(); // first: what has no job any more has its field by now
      const auto with_field = fields_.keys();
      regions.insert(regions.end(), with_field.begin(), with_field.end());
      std::sort(regions.begin(), regions.end());
      regions.erase(std::unique(regions.begin(), regions.end()), regions.end());
      all = std::make_shared<all_drops>();
    } catch (const std::bad_alloc&) {
      return answer(std::current_exception());
    }
    all->left = regions.size() + 1;
    all->answer = std::move(answer);
    for (const auto region : regions)
      drop(region, [all](const std::exception_ptr& why) { all->add(why); });
    all->add(nullptr);
  }

  void export_region(region_key region, image_done answer) override {
    ask(
      region,
      [this, region] {
        const auto* entry = fields_.find(region);
        return entry != nullptr ? entry->field.image() : region_image{};
      },
      std::move(answer));
  }

  void import_region(region_key region, region_image image, done answer) override {
    put(region, std::move(image), &cpu::field_index::load, std::move(answer));
  }
  void add_region(region_key region, region_image image, done answer) override {
    put(region, std::move(image), &cpu::field_index::add, std::move(answer));
  }

  [[nodiscard]] memory_status memory() const override {
    memory_status out;
    out.blocks = fields_.blocks();
    out.regions_here = fields_.regions();
    return out;
  }

  [[nodiscard]] std::shared_ptr<const keyframe_body> pin(const keyframe_body& body) override {
    auto out = std::make_shared<owned_keyframe_body>();
    out->point_data.assign(body.points().begin(), body.points().end());
    out->colour_data.assign(body.colours().begin(), body.colours().end());
    out->confidence_data.assign(body.confidence().begin(), body.confidence().end());
    out->channel_count = body.channels();
    return out;
  }

  void break_down(breakage) override { throw std::logic_error("the CPU cannot be broken on purpose"); }

private:
  /// Null if there is no memory for it: it has been answered then.
  template <class Do, class Answer>
  request<Do, Answer>* make(region_key region, Do& what, Answer& answer) {
    try {
      return new request<Do, Answer>(region, std::move(what), std::move(answer)); // moved only if there is memory
    } catch (const std::bad_alloc&) {
      answer({}, std::current_exception());
      return nullptr;
    }
  }

  template <class Do, class Answer>
  void ask(region_key region, Do what, Answer answer) {
    auto* const made = make(region, what, answer);
    if (made == nullptr)
      return;
    try {
      pool_.add(made);
    } catch (const std::bad_alloc&) {
      made->let_go();
    }
  }

  void put(region_key region, region_image image, void (cpu::field_index::*how)(region_key, const region_image&), done answer) {
    ask(
      region,
      [this, region, how, image = std::move(image)] {
        (fields_.*how)(region, image);
        fields_.drop_if_empty(region);
        return nothing{};
      },
      [answer = std::move(answer)](nothing, const std::exception_ptr& failure) { answer(failure); });
  }

  const map_settings map_;
  cpu::field_index fields_;
  cpu::region_pool pool_; ///< last: its threads use all of the above
};

} // namespace

std::shared_ptr<async_fields> make_cpu_fields(const map_settings& map, const cpu_options& options) {
  map.validate();
  return std::make_shared<cpu_fields>(map, options);
}

} // namespace tessera
