#include "net/publishers/patience.hpp"

#include "net/base/pace.hpp"

#include <spdlog/spdlog.h>

#include <utility>

namespace tessera {

namespace {

constexpr auto silence = std::chrono::seconds(1), silence_between = std::chrono::seconds(10);

} // namespace

patience::patience(std::chrono::milliseconds most, std::stop_token stop)
  : stop_(std::move(stop)), until_(clock::now() + most), tell_(clock::now() + silence),
    pause_(std::chrono::milliseconds(10), std::chrono::milliseconds(500)) {}

void patience::note(std::string why) {
  why_ = std::move(why);
  const auto now = clock::now();
  if (now < tell_ || now >= until_ || stop_.stop_requested())
    return;
  tell_ = now + silence_between;
  spdlog::warn("publish: {}; trying for another {} s", why_, std::chrono::ceil<std::chrono::seconds>(until_ - now).count());
}

bool patience::pause() {
  const auto next = clock::now() + pause_.next();
  return next <= until_ && sleep_unless(stop_, next);
}

verdict patience::given_up() const {
  return {outcome::not_now, stop_.stop_requested() ? "stopped: " + why_ : why_};
}

} // namespace tessera
