#include "net/server/readiness.hpp"

namespace tessera {

std::string why_not_ready(const server_core& core) {
  if (core.stopping)
    return "the service is shutting down";
  const auto& numbers = *core.running.context.numbers;
  if (numbers.lost_core.load() != 0)
    return "an actor is lost and cannot be started again: restart the service";
  if (const auto stalls = numbers.stalls.current(); !stalls.empty()) {
    const auto& first = stalls.front();
    const auto since = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - first.since);
    return "the " + first.who + " is stalled: it has not advanced for " + std::to_string(since.count()) + " s (" + first.doing
           + ")" + (stalls.size() > 1 ? "; and " + std::to_string(stalls.size() - 1) + " more" : "");
  }
  if (const auto wanting = numbers.shortage.current()) {
    const auto since = std::chrono::duration_cast<std::chrono::seconds>(shortage_board::clock::now() - wanting->since);
    return wanting->text + " (for " + std::to_string(since.count()) + " s)";
  }
  return core.config.trouble ? core.config.trouble() : std::string{};
}

http_reply readiness(const server_core& core, const std::string& ready) {
  const auto why = why_not_ready(core);
  if (why.empty())
    return text_reply(http::status::ok, ready + '\n');
  return text_reply(http::status::service_unavailable, "not ready: " + why + '\n').with("Retry-After", "1");
}

} // namespace tessera
