#include "net/base/pace.hpp"

#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

namespace tessera {

bool sleep_unless(const std::stop_token& stop, std::chrono::steady_clock::time_point until) {
  std::mutex mutex;
  std::condition_variable_any bell;
  std::unique_lock lock(mutex);
  bell.wait_until(lock, stop, until, [] { return false; });
  return !stop.stop_requested();
}

pace::pace(double per_second, double seconds) {
  if (!(per_second >= 0 && per_second <= 1e6))
    throw std::invalid_argument("rate is " + std::to_string(per_second) + " keyframes/s, must be 0 to 1,000,000");
  if (per_second > 0)
    interval_ = std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(1 / per_second));
  if (!(seconds >= 0 && seconds <= 1e9))
    throw std::invalid_argument("seconds is " + std::to_string(seconds) + ", must be 0 to 1,000,000,000");
  if (seconds > 0)
    end_ = clock::now() + std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(seconds));
}

bool pace::wait(const std::stop_token& stop) {
  if (!std::exchange(first_, false) && end_ != clock::time_point::max() && clock::now() >= end_)
    return false;
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
