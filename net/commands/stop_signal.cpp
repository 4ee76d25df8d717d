#include "net/commands/stop_signal.hpp"

#include <spdlog/spdlog.h>

#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <system_error>

namespace tessera {

namespace {

sigset_t both() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

} // namespace

stop_signal::stop_signal() {
  const auto set = both();
  if (const auto code = ::pthread_sigmask(SIG_BLOCK, &set, &old_); code != 0)
    throw std::system_error(code, std::generic_category(), "pthread_sigmask");
  watcher_ = std::jthread([this](std::stop_token ending) {
    const auto signals = both();
    const timespec step{.tv_sec = 0, .tv_nsec = 100'000'000};
    while (!ending.stop_requested()) {
      if (clock::now() >= last_moment_.load()) {
        spdlog::warn("ended in the middle of what was being worked on");
        std::_Exit(code_);
      }
      const auto signal = ::sigtimedwait(&signals, nullptr, &step);
      if (signal < 0)
        continue; // nothing came in the step
      if (stop_.stop_requested())
        ::_exit(128 + signal);
      stop_.request_stop();
    }
  });
}

stop_signal::~stop_signal() {
  watcher_ = {};
  ::pthread_sigmask(SIG_SETMASK, &old_, nullptr);
}

void stop_signal::end_within(std::chrono::milliseconds limit, int code) {
  code_ = code;
  last_moment_ = clock::now() + limit;
}

void stop_signal::wait() const {
  std::mutex mutex;
  std::condition_variable_any stopped;
  std::unique_lock lock(mutex);
  stopped.wait(lock, stop_.get_token(), [] { return false; });
}

bool stop_signal::wait_for(std::chrono::milliseconds limit) const {
  std::mutex mutex;
  std::condition_variable_any stopped;
  std::unique_lock lock(mutex);
  stopped.wait_for(lock, stop_.get_token(), limit, [] { return false; });
  return stop_.stop_requested();
}

} // namespace tessera
