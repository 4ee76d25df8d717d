#include "net/commands/stop_signal.hpp"

#include <catch2/catch.hpp>

#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <future>

using namespace tessera;

namespace {

/// How a process ends that does this; as wait() tells it.
template <class F>
int end_of(F work) {
  const auto child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    work();
    ::_exit(99);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return status;
}

/// As what is busy with something that nobody can interrupt.
void hang() {
  while (true)
    ::pause();
}

} // namespace

TEST_CASE("a process that hangs when it was told to end is ended, with its code") {
  const bool by_signal = GENERATE(true, false);
  const auto status = end_of([by_signal] {
    stop_signal stop;
    stop.end_within(std::chrono::milliseconds{1});
    if (by_signal)
      ::kill(::getpid(), SIGTERM);
    else
      stop.request_stop(7);
    hang();
  });
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == (by_signal ? 0 : 7));
}

TEST_CASE("one that ends in time is not disturbed") {
  const auto status = end_of([] {
    stop_signal stop;
    stop.end_within(std::chrono::hours{1});
    stop.request_stop(7);
    stop.wait();
  });
  CHECK(WEXITSTATUS(status) == 99);
}

TEST_CASE("a second signal ends a process at once") {
  const auto status = end_of([] {
    stop_signal stop;
    ::kill(::getpid(), SIGINT);
    stop.wait();
    ::kill(::getpid(), SIGINT);
    hang();
  });
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 128 + SIGINT);
}

TEST_CASE("a hang-up that somebody sends does what it is to do, and ends nothing") {
  const auto status = end_of([] {
    std::promise<void> told;
    stop_signal stop([&told] { told.set_value(); });
    ::kill(::getpid(), SIGHUP);
    told.get_future().wait();
    ::_exit(stop.token().stop_requested() ? 1 : 98);
  });
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 98);
}

TEST_CASE("a hang-up ends what was told nothing of it, as ever") {
  const auto status = end_of([] {
    stop_signal stop;
    ::kill(::getpid(), SIGHUP);
    hang();
  });
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGHUP);
}

TEST_CASE("a terminal that goes is a stop request") {
  int terminal = -1;
  const auto child = ::forkpty(&terminal, nullptr, nullptr, nullptr);
  REQUIRE(child >= 0);
  if (child == 0) {
    stop_signal stop([] {});
    const char ready = '.';
    (void)!::write(STDOUT_FILENO, &ready, 1);
    stop.wait();
    ::_exit(99);
  }
  char ready = 0;
  CHECK(::read(terminal, &ready, 1) == 1);
  ::close(terminal);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 99);
}
