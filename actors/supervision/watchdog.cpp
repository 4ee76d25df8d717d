#include "actors/supervision/watchdog.hpp"

#include "messages/thread_name.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace tessera {

namespace {

std::string seconds(watchdog::clock::duration how_long) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(how_long).count()) + " s";
}

} // namespace

watchdog::watchdog(actor_context context, std::shared_ptr<const keyframe_store> store, std::chrono::milliseconds bound,
                   bool own_thread)
  : context_{std::move(context)}, bound_{bound}, store_{std::move(store)} {
  if (own_thread)
    thread_ = std::thread{[this] {
      name_thread("watchdog");
      run();
    }};
}

watchdog::~watchdog() {
  stop();
}

void watchdog::stop() {
  std::shared_ptr<const keyframe_store> released; // without the lock
  {
    const std::lock_guard lock{mutex_};
    stopped_ = true;
    released.swap(store_);
  }
  changed_.notify_all();
  if (thread_.joinable())
    thread_.join();
}

void watchdog::run() {
  const auto pause = std::clamp(bound_ / 4, std::chrono::milliseconds{1}, std::chrono::milliseconds{1000});
  for (std::unique_lock lock{mutex_}; !changed_.wait_for(lock, pause, [this] { return stopped_; });) {
    lock.unlock();
    look(clock::now());
    lock.lock();
  }
}

std::optional<watchdog::clock::time_point> watchdog::stalled(const key& which, const pulse& its, clock::time_point now) {
  auto& before = seen_[which];
  before.looked = looks_;
  const auto stays = before.works && its.works && before.steps == its.steps;
  before.works = its.works;
  before.steps = its.steps;
  if (!stays) {
    before.since = now;
    return {};
  }
  return now - before.since >= bound_ ? std::optional{before.since} : std::nullopt;
}

void watchdog::look(clock::time_point now) {
  std::shared_ptr<const keyframe_store> store;
  {
    const std::lock_guard lock{mutex_};
    store = store_;
  }
  ++looks_;
  if (const auto before = std::exchange(looked_at_, now); before && now - *before > bound_ / 2)
    for (auto& [which, its] : seen_)
      its.since += now - *before;
  std::vector<stall> all;
  const auto enter = [&](std::string who, std::string doing, clock::time_point since) {
    all.push_back({std::move(who), std::move(doing), since});
  };
  for (const auto& record : context_.registry->records()) {
    if (record->down())
      continue;
    const auto pulses = record->pulses();
    auto is_stalled = false;
    for (size_t i = 0; i < pulses.size() && !is_stalled; ++i)
      if (const auto since = stalled({std::string(1, static_cast<char>('0' + i)), record->id()}, pulses[i], now)) {
        enter(record->name(), record->doing(), *since);
        is_stalled = true;
      }
    record->set_stalled(is_stalled);
  }
  if (store)
    for (const auto& [who, doing, its] : store->pulses())
      if (const auto since = stalled({who, 0}, its, now))
        enter(who, doing, *since);
  std::erase_if(seen_, [this](const auto& one) { return one.second.looked != looks_; });

  std::sort(all.begin(), all.end(), [](const stall& a, const stall& b) { return a.since < b.since; });
  uint64_t begun = 0;
  std::map<std::string, clock::time_point> told;
  for (const auto& one : all) {
    told.emplace(one.who, one.since);
    if (told_.contains(one.who))
      continue;
    ++begun;
    context_.write(severity::error, "the " + one.who + " is stalled: it has not advanced for " + seconds(now - one.since) + " ("
                                      + one.doing + ")");
  }
  for (const auto& [who, since] : told_)
    if (!told.contains(who))
      context_.write(severity::info, "the " + who + " goes on, or is gone, after a stall of " + seconds(now - since));
  told_ = std::move(told);
  context_.numbers->stalls.set(std::move(all), begun);
}

} // namespace tessera
