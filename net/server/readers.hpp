#pragma once

#include "net/server/ask.hpp"
#include "net/server/http_reply.hpp"

#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tessera {

/// Those who wait for one answer. Each is answered once, at the latest when this goes, whatever went wrong. Not thread-safe.
class readers {
public:
  readers() = default;
  readers(readers&& other) noexcept : all_{std::exchange(other.all_, {})} {}
  readers& operator=(readers&&) = delete;
  ~readers() {
    try {
      refuse("no_memory", "there is no memory for this now");
    } catch (const std::exception&) { // not even for that: their connections end
    }
  }

  /// `reply` is called through `back`. Throws std::bad_alloc.
  void add(const return_address<strand>& back, reply_function reply) { all_.push_back({back, std::move(reply)}); }
  [[nodiscard]] bool empty() const { return all_.empty(); }
  /// `make` makes the answer, for each of them again: what is large in it is shared.
  template <class Make>
  void answer(Make make) {
    for (auto& one : std::exchange(all_, {}))
      one.back.post([reply = std::move(one.reply), out = make()]() mutable { reply(std::move(out)); });
  }
  void refuse(std::string_view code, const std::string& why) {
    answer([&] { return error_reply(http::status::service_unavailable, code, why); });
  }

private:
  struct reader {
    return_address<strand> back;
    reply_function reply;
  };
  std::vector<reader> all_;
};

} // namespace tessera
