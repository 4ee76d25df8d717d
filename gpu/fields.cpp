#include "gpu/fields.hpp"

#include "gpu/shared/owner.hpp"

#include <future>
#include <utility>

namespace tessera {

namespace {

/// Asks, with an answer for a value, and waits for it.
template <class T, class Ask>
T wait_for(Ask ask) {
  const auto promise = std::make_shared<std::promise<T>>(); // who answers may still be in it when the waiting is over
  auto future = promise->get_future();
  ask([promise](T value, const std::exception_ptr& failure) {
    failure ? promise->set_exception(failure) : promise->set_value(std::move(value));
  });
  return future.get();
}

/// Likewise, for an answer without a value.
template <class Ask>
void wait(Ask ask) {
  const auto promise = std::make_shared<std::promise<void>>();
  auto future = promise->get_future();
  ask([promise](const std::exception_ptr& failure) { failure ? promise->set_exception(failure) : promise->set_value(); });
  future.get();
}

} // namespace

uint32_t owner_of(region_key region, const region_share& share) {
  return owner_of(region.x, region.y, region.z, share.count, share.lost);
}

take_report take_and_wait(async_fields& fields, take_request what) {
  return wait_for<take_report>([&](auto answer) { fields.take(std::move(what), std::move(answer)); });
}

std::shared_ptr<const mesh> extract_and_wait(async_fields& fields, region_key region) {
  return wait_for<std::shared_ptr<const mesh>>([&](auto answer) { fields.extract(region, std::move(answer)); });
}

field_stats stats_and_wait(async_fields& fields, region_key region) {
  return wait_for<field_stats>([&](auto answer) { fields.stats(region, std::move(answer)); });
}

void drop_and_wait(async_fields& fields, region_key region) {
  wait([&](auto answer) { fields.drop(region, std::move(answer)); });
}

region_image export_and_wait(async_fields& fields, region_key region) {
  return wait_for<region_image>([&](auto answer) { fields.export_region(region, std::move(answer)); });
}

void import_and_wait(async_fields& fields, region_key region, region_image image) {
  wait([&](auto answer) { fields.import_region(region, std::move(image), std::move(answer)); });
}

void add_and_wait(async_fields& fields, region_key region, region_image image) {
  wait([&](auto answer) { fields.add_region(region, std::move(image), std::move(answer)); });
}

void close_together(std::vector<std::shared_ptr<async_fields>>& devices) noexcept {
  for (const auto& device : devices)
    try {
      wait([&](auto answer) { device->clear(std::move(answer)); });
    } catch (...) { // one that failed has answered all the same
    }
  devices.clear();
}

} // namespace tessera
