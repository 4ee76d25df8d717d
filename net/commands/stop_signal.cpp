#include "net/commands/stop_signal.hpp"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

namespace tessera {

namespace {

/// Not by the log: its lock may be with who hangs, and what hangs may be that nobody reads it.
[[noreturn]] void end_now(int code) {
  constexpr std::string_view text = "tessera: ended in the middle of what was being worked on\n";
  pollfd error{STDERR_FILENO, POLLOUT, 0};
  const bool heard = ::poll(&error, 1, 0) == 1 && (error.revents & POLLOUT) != 0;
  [[maybe_unused]] const auto written = heard ? ::write(STDERR_FILENO, text.data(), text.size()) : 0;
  std::_Exit(code);
}

} // namespace

void hold_hangup() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGHUP);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

sigset_t stop_signal::signals() const {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  if (on_hangup_)
    sigaddset(&set, SIGHUP);
  return set;
}

bool stop_signal::is_stop(const siginfo_t& signal) const {
  return signal.si_signo != SIGHUP || (signal.si_code == SI_KERNEL && !ignores_hangup_);
}

stop_signal::stop_signal(std::function<void()> on_hangup) : on_hangup_(std::move(on_hangup)) {
  struct sigaction before {};
  ignores_hangup_ = ::sigaction(SIGHUP, nullptr, &before) == 0 && before.sa_handler == SIG_IGN;
  const auto set = signals();
  if (const auto code = ::pthread_sigmask(SIG_BLOCK, &set, &old_); code != 0)
    throw std::system_error(code, std::generic_category(), "pthread_sigmask");
  watcher_ = std::jthread([this, set](std::stop_token ending) {
    const timespec step{.tv_sec = 0, .tv_nsec = 100'000'000};
    std::optional<std::chrono::steady_clock::time_point> asked;
    while (!ending.stop_requested()) {
      const auto now = std::chrono::steady_clock::now();
      if (const auto limit = limit_.load(); limit.count() > 0 && asked && now - *asked >= limit)
        end_now(code_);
      if (stop_.stop_requested() && !asked)
        asked = now;
      siginfo_t signal{};
      if (::sigtimedwait(&set, &signal, &step) < 0)
        continue; // nothing came in the step
      if (!is_stop(signal))
        on_hangup_();
      else if (stop_.stop_requested())
        ::_exit(128 + signal.si_signo);
      else
        stop_.request_stop();
    }
  });
}

stop_signal::~stop_signal() {
  watcher_ = {};
  ::pthread_sigmask(SIG_SETMASK, &old_, nullptr);
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
