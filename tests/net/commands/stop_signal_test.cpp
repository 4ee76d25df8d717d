#include "net/commands/stop_signal.hpp"

#include <catch2/catch.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

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
