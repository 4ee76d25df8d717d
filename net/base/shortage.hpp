#pragma once

#include "net/base/backoff.hpp"
#include "net/base/not_now_error.hpp"
#include "net/base/pace.hpp"

#include <chrono>
#include <exception>
#include <functional>
#include <stop_token>
#include <string>

namespace tessera {

/// The process or the machine lacks something at the moment: a descriptor, a thread, memory.
class shortage_error : public not_now_error {
public:
  using not_now_error::not_now_error;
};

/// Whether an error of the system says so.
bool is_shortage(int error);
/// Whether what was thrown does: a shortage_error, std::bad_alloc, or a std::system_error with such an error.
bool is_shortage(const std::exception& thrown);
/// What was thrown, in words for people.
std::string text_of(const std::exception& thrown);
/// Throws a shortage_error or another not_now_error, as the error is.
[[noreturn]] void throw_not_now(const std::string& what, int error);

/// Hears what is wanting, each time that something is. Threads: any.
using shortage_listener = std::function<void(const std::string& what)>;

/// Does something, and again after a pause that grows as long as something is wanting for it, which the listener hears of.
/// Without a listener, and after a stop, what was thrown goes on to the caller.
template <class F>
auto through_shortages(const shortage_listener& tell, const std::stop_token& stop, const std::string& where, F work) {
  for (backoff pause(std::chrono::milliseconds(200), std::chrono::seconds(5));;) {
    try {
      return work();
    } catch (const std::exception& e) {
      if (!tell || stop.stop_requested() || !is_shortage(e))
        throw;
      tell(where + ": " + text_of(e));
    }
    (void)sleep_unless(stop, std::chrono::steady_clock::now() + pause.next());
  }
}

} // namespace tessera
