#include "net/commands/source_threads.hpp"

#include <spdlog/spdlog.h>

namespace tessera {

source_threads::~source_threads() {
  request_stop();
  join();
}

void source_threads::start(std::unique_ptr<source> input, keyframe_sink& sink, std::function<void()> failed) {
  auto added = std::make_unique<running>();
  added->input = std::move(input);
  added->thread
    = std::jthread([&from = *added->input, &ended = added->ended, &sink, failed = std::move(failed)](std::stop_token stop) {
        spdlog::info("source {}: taking keyframes", from.where());
        try {
          from.run(sink, stop);
        } catch (const std::exception& e) {
          ended = true;
          spdlog::error("source {}: {}", from.where(), e.what());
          failed();
          return;
        }
        ended = true;
        if (!stop.stop_requested())
          spdlog::info("source {}: no more keyframes", from.where());
      });
  const std::lock_guard lock(mutex_);
  running_.push_back(std::move(added));
}

std::string source_threads::trouble() const {
  const std::lock_guard lock(mutex_);
  std::string all;
  for (const auto& one : running_)
    if (auto text = one->ended ? std::string{} : one->input->trouble(); !text.empty())
      all += (all.empty() ? "" : "; ") + text;
  return all;
}

void source_threads::request_stop() {
  for (auto& one : running_)
    one->thread.request_stop();
}

void source_threads::join() {
  for (auto& one : running_)
    if (one->thread.joinable())
      one->thread.join();
}

} // namespace tessera
