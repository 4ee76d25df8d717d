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
  added->thread = std::jthread([&from = *added->input, &sink, failed = std::move(failed)](std::stop_token stop) {
    spdlog::info("source {}: taking keyframes", from.where());
    try {
      from.run(sink, stop);
    } catch (const std::exception& e) {
      spdlog::error("source {}: {}", from.where(), e.what());
      failed();
      return;
    }
    if (!stop.stop_requested())
      spdlog::info("source {}: no more keyframes", from.where());
  });
  running_.push_back(std::move(added));
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
