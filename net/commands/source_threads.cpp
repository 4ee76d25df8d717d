#include "net/commands/source_threads.hpp"

#include "messages/thread_name.hpp"

#include <spdlog/spdlog.h>

namespace tessera {

source_threads::~source_threads() {
  request_stop();
  join();
}

template <class F>
void source_threads::insist(running& one, const std::stop_token& stop, F work) {
  const auto note = [&](const std::string& what) {
    const std::lock_guard lock(mutex_);
    one.wanting = what;
  };
  const auto tell = [&](const std::string& what) {
    note(what);
    on_shortage_(what);
  };
  through_shortages(tell, stop, "source " + one.input->where(), [&] {
    note({});
    work();
  });
}

void source_threads::start(std::unique_ptr<source> input, keyframe_sink& sink, std::function<void()> failed) {
  running* added = nullptr;
  {
    const std::lock_guard lock(mutex_);
    added = running_.emplace_back(std::make_unique<running>(std::move(input))).get();
  }
  try {
    insist(*added, stop_, [&] {
      added->thread = std::jthread([this, added, &sink, failed](std::stop_token stop) { run(*added, sink, failed, stop); });
    });
  } catch (const std::exception&) {
    if (!stop_.stop_requested())
      throw;
  }
}

void source_threads::run(running& one, keyframe_sink& sink, const std::function<void()>& failed, const std::stop_token& stop) {
  const auto name = "source " + one.input->where();
  name_thread(one.input->kind().c_str());
  spdlog::info("{}: taking keyframes", name);
  try {
    insist(one, stop, [&] { one.input->run(sink, stop); });
    if (!stop.stop_requested())
      spdlog::info("{}: no more keyframes", name);
  } catch (const std::exception& e) {
    if (!stop.stop_requested() || !is_shortage(e)) {
      spdlog::error("{}: {}", name, e.what());
      failed();
    }
  }
  one.ended = true;
}

std::string source_threads::trouble() const {
  const std::lock_guard lock(mutex_);
  std::string all;
  for (const auto& one : running_) {
    if (one->ended)
      continue;
    if (const auto text = one->wanting.empty() ? one->input->trouble() : one->wanting; !text.empty())
      all += (all.empty() ? "" : "; ") + text;
  }
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
