#!/bin/bash
# C++ Actor Framework 0.17.6 (Debian 12: libcaf-dev), response promises: an actor that ends answers what still lies in its mailbox
# with an error, but not what it has taken and made a promise of. A promise that goes with its actor says nothing to whoever asked:
# with a request that has no timeout (caf::infinite) neither handler is ever called, though the actor that was asked is gone and a
# monitor says so. What holds promises must deliver an error to each of them when it ends (on_exit).
# Needs: Debian 12, apt-get, g++.
set -euo pipefail
version=0.17.6-2.1+b1
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
apt-get download -q "libcaf-dev=$version" "libcaf-core0.17=$version" "libcaf-io0.17=$version" >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" root; done
cat > try.cpp <<'CPP'
#include <caf/all.hpp>

#include <chrono>
#include <iostream>
#include <thread>

using namespace caf;

// Keeps a promise for each text that it is asked, and ends when it is told to.
struct keeper_state {
  std::vector<typed_response_promise<int>> kept;
};
behavior keeper(stateful_actor<keeper_state>* self) {
  return {
    [=](const std::string&) {
      self->state.kept.push_back(self->make_response_promise<typed_response_promise<int>>());
      return self->state.kept.back();
    },
    [=](int ms) { // what comes meanwhile stays in the mailbox
      std::this_thread::sleep_for(std::chrono::milliseconds(ms));
      self->quit(exit_reason::user_shutdown);
    },
  };
}

// Asks once, monitors, and tells what it heard within two seconds of the keeper's end.
std::string heard(actor_system& system, bool taken) {
  scoped_actor self{system};
  auto asked = system.spawn(keeper);
  self->monitor(asked);
  std::string answer = "nothing";
  auto asker = system.spawn([&, asked, taken](event_based_actor* me) {
    if (!taken)
      me->send(asked, 200);
    me->request(asked, infinite, std::string{"question"})
      .then([&](int) { answer = "a value"; }, [&, me](error& why) { answer = "an error: " + me->system().render(why); });
    if (taken)
      me->send(asked, 0);
  });
  bool down = false;
  self->receive([&](const down_msg&) { down = true; });
  std::this_thread::sleep_for(std::chrono::seconds(2));
  anon_send_exit(asker, exit_reason::kill);
  self->wait_for(asker);
  return (down ? "it is down, and the asker heard " : "it is up, and the asker heard ") + answer;
}

int main() {
  actor_system_config config;
  actor_system system{config};
  std::cout << "in the mailbox: " << heard(system, false) << "\n" << "as a promise: " << heard(system, true) << "\n";
}
CPP
lib=root/usr/lib/$(gcc -dumpmachine)
g++ -std=c++17 -Iroot/usr/include try.cpp -o try "$lib"/libcaf_core.so.0.17* -lpthread
seen=$(LD_LIBRARY_PATH=$lib ./try)
echo "$seen"
grep -q '^in the mailbox: it is down, and the asker heard an error' <<<"$seen" || { echo "changed: what lay in the mailbox" >&2; exit 1; }
grep -q '^as a promise: it is down, and the asker heard nothing$' <<<"$seen" || { echo "changed: the promise" >&2; exit 1; }
