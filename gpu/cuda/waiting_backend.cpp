#include "gpu/cuda/async_fields.hpp"

#include <future>

namespace tessera::cuda {

namespace {

class waiting_backend final : public backend {
public:
  explicit waiting_backend(std::shared_ptr<async_fields> fields) : fields_(std::move(fields)) {}
  [[nodiscard]] std::string name() const override { return fields_->name(); }
  void integrate(region_key region, std::span<const ray_job> jobs) override {
    wait([&](async_fields::done answer) { fields_->integrate(region, {jobs.begin(), jobs.end()}, std::move(answer)); });
  }
  std::shared_ptr<const mesh> extract(region_key region) override {
    return wait_for<std::shared_ptr<const mesh>>([&](auto answer) { fields_->extract(region, std::move(answer)); });
  }
  [[nodiscard]] field_stats stats(region_key region) const override {
    return wait_for<field_stats>([&](auto answer) { fields_->stats(region, std::move(answer)); });
  }
  void drop(region_key region) override {
    wait([&](async_fields::done answer) { fields_->drop(region, std::move(answer)); });
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
  std::shared_ptr<async_fields> fields_;
};

} // namespace

std::unique_ptr<backend> make_waiting_backend(std::shared_ptr<async_fields> fields) {
  return std::make_unique<waiting_backend>(std::move(fields));
}

} // namespace tessera::cuda
