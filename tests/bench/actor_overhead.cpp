// What the instrumentation of actors costs: the same actors with and without it, in turns, and the ratio of their times.
//
// Two loads. "empty": a message whose handler does nothing, the worst that can be. "job": a handler that works 20 us, less than
// the lightest real message (one keyframe's part for one region at 5 cm). The bound of 1 % is for the second, and for a message
// of the service as a whole; what the first says is the cost in nanoseconds.

#include "actors/base/instrumented.hpp"
#include "messages/actors.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>

using namespace tessera;

namespace {

using load_actor = caf::typed_actor<caf::replies_to<caf::get_atom, uint64_t>::with<uint64_t>>;

/// Burns about a nanosecond a round.
uint64_t work(uint64_t rounds) {
  uint64_t x = rounds + 1;
  for (uint64_t i = 0; i < rounds; ++i) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
  }
  return x;
}

load_actor::behavior_type plain() {
  return {[](caf::get_atom, uint64_t rounds) { return work(rounds); }};
}

class measured final : public instrumented<load_actor> {
public:
  measured(caf::actor_config& cfg, actor_context context) : instrumented(cfg, std::move(context), {"load"}) {}
  behavior_type make_behavior() override {
    return {[](caf::get_atom, uint64_t rounds) { return work(rounds); }};
  }
};

/// Keeps 64 requests under way until `count` have been answered.
class asker final : public caf::event_based_actor {
public:
  asker(caf::actor_config& cfg, load_actor target, uint64_t rounds, size_t count)
    : caf::event_based_actor(cfg), target_{std::move(target)}, rounds_{rounds}, left_{count} {}
  caf::behavior make_behavior() override {
    for (int i = 0; i < 64; ++i)
      again();
    return {};
  }

private:
  void again() {
    if (left_ == 0)
      return;
    --left_;
    request(target_, std::chrono::minutes{1}, caf::get_atom::value, rounds_).then([this](uint64_t) { again(); });
  }
  load_actor target_;
  uint64_t rounds_;
  size_t left_;
};

/// The process's own time, nanoseconds: what else runs on the machine does not count.
double cpu_ns() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

/// Returns nanoseconds a message.
double run(caf::actor_system& system, const load_actor& target, uint64_t rounds, size_t count) {
  const auto begin = cpu_ns();
  {
    caf::scoped_actor self{system};
    self->spawn<asker, caf::monitored>(target, rounds, count);
    self->receive([](const caf::down_msg&) {});
  }
  return (cpu_ns() - begin) / static_cast<double>(count);
}

} // namespace

int main() {
  caf::actor_system_config config;
  register_messages(config);
  config.set("scheduler.max-threads", size_t{1}); // one thread: no waiting hides the cost
  caf::actor_system system{config};
  actor_context context;
  const auto with = system.spawn<measured>(context);
  const auto without = system.spawn(plain);
  struct load {
    const char* name;
    uint64_t rounds;
    size_t count;
  };
  // How many rounds 20 us are on this machine.
  const auto t0 = cpu_ns();
  volatile uint64_t sink = work(20'000'000);
  (void)sink;
  const auto round_ns = (cpu_ns() - t0) / 20e6;
  bool cheap = true;
  for (const auto& l : {load{"empty", 0, 200'000}, load{"job", static_cast<uint64_t>(20'000 / round_ns), 10'000}}) {
    double plain_ns = 1e30, measured_ns = 1e30; // the best of many turns: noise only adds
    run(system, without, l.rounds, l.count / 10);
    run(system, with, l.rounds, l.count / 10);
    for (int turn = 0; turn < 25; ++turn) {
      plain_ns = std::min(plain_ns, run(system, without, l.rounds, l.count));
      measured_ns = std::min(measured_ns, run(system, with, l.rounds, l.count));
    }
    const auto ratio = measured_ns / plain_ns;
    std::printf("%-6s without %9.1f ns a message, with %9.1f ns: ratio %.4f\n", l.name, plain_ns, measured_ns, ratio);
    if (l.rounds > 0)
      cheap = ratio < 1.01;
  }
  caf::anon_send_exit(with, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(without, caf::exit_reason::user_shutdown);
  std::printf("%s\n", cheap ? "within 1 %" : "more than 1 %");
  return cheap ? EXIT_SUCCESS : EXIT_FAILURE;
}
