#include "net/sources/pace.hpp"

#include <condition_variable>
#include <mutex>
#include <stdexcept>

namespace tessera {

bool sleep_unless(const std::stop_token& stop, std::chrono::steady_clock::time_point until) {
  std::mutex mutex;
  std::condition_variable_any bell;
  std::unique_lock lock(mutex);
  bell.wait_until(lock, stop, until, [] { return false; });
  return !stop.stop_requested();
}

pace::pace(double per_second) {
  if (!(per_second >= 0 && per_second <= 1e6))
    throw std::invalid_argument("rate is " + std::to_string(per_second) + " keyframes/s, must be 0 to 1,000,000");
  if (per_second > 0)
    interval_ = std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(1 / per_second));
}

bool pace::wait(const std::stop_token& stop) {
  if (interval_ == clock::duration{})
    return !stop.stop_requested();
  auto now = clock::now();
  if (due_ == clock::time_point{} || now > due_ + interval_)
    due_ = now;
  if (due_ > now && !sleep_unless(stop, due_))
    return false;
  due_ += interval_;
  return !stop.stop_requested();
}

} // namespace tessera
