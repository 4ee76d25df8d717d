#include "gpu/cuda/async_fields.hpp"
#include "gpu/cuda/field_view.hpp"

#include <future>
#include <stdexcept>
#include <utility>

namespace tessera::cuda {

namespace {

class waiting_backend final : public backend {
public:
  explicit waiting_backend(std::vector<std::shared_ptr<async_fields>> fields) : fields_(std::move(fields)) {}
  [[nodiscard]] std::string name() const override {
    return (fields_.size() > 1 ? std::to_string(fields_.size()) + " x " : "") + fields_.front()->name();
  }
  void integrate(region_key region, std::span<const ray_job> jobs) override {
    wait([&](async_fields::done answer) { of(region).integrate(region, {jobs.begin(), jobs.end()}, std::move(answer)); });
  }
  std::shared_ptr<const mesh> extract(region_key region) override {
    return wait_for<std::shared_ptr<const mesh>>([&](auto answer) { of(region).extract(region, std::move(answer)); });
  }
  [[nodiscard]] field_stats stats(region_key region) const override {
    return wait_for<field_stats>([&](auto answer) { of(region).stats(region, std::move(answer)); });
  }
  void drop(region_key region) override {
    wait([&](async_fields::done answer) { of(region).drop(region, std::move(answer)); });
  }

private:
  template <class Ask>
  static void wait(Ask ask) {
    std::promise<void> promise;
    auto future = promise.get_future();
    ask([&](const std::exception_ptr& failure) { failure ? promise.set_exception(failure) : promise.set_value(); });
    future.get();
  }
  template <class T, class Ask>
  static T wait_for(Ask ask) {
    std::promise<T> promise;
    auto future = promise.get_future();
    ask([&](T value, const std::exception_ptr& failure) {
      failure ? promise.set_exception(failure) : promise.set_value(std::move(value));
    });
    return future.get();
  }
  [[nodiscard]] async_fields& of(region_key region) const {
    return *fields_[owner_of(region, static_cast<uint32_t>(fields_.size()))];
  }
  std::vector<std::shared_ptr<async_fields>> fields_;
};

} // namespace

uint32_t owner_of(region_key region, uint32_t shares) {
  return owner_of(region.x, region.y, region.z, shares);
}

std::unique_ptr<backend> make_waiting_backend(std::shared_ptr<async_fields> fields) {
  return make_waiting_backend(std::vector{std::move(fields)});
}

std::unique_ptr<backend> make_waiting_backend(std::vector<std::shared_ptr<async_fields>> fields) {
  if (fields.empty())
    throw std::invalid_argument("a backend needs at least one device");
  return std::make_unique<waiting_backend>(std::move(fields));
}

} // namespace tessera::cuda
