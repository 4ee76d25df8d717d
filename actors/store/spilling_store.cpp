#include "actors/store/spilling_store.hpp"

#include "messages/thread_name.hpp"

#include <algorithm>
#include <stdexcept>

namespace tessera {

namespace {

constexpr uint64_t index_bytes = 300; // a list node, a hash node, an id: near enough to bound memory by

} // namespace

spilling_store::spilling_store(spilling_options how) : how_{std::move(how)}, oldest_in_memory_{order_.end()} {
  how_.open(how_.folder); // a folder that cannot be written is told at the start, not in the middle of a scan
  if (how_.own_thread)
    thread_ = std::jthread{[this] {
      name_thread("store");
      run();
    }};
}

spilling_store::~spilling_store() {
  stop();
}

void spilling_store::stop() {
  std::jthread ended; // joined without the lock
  const std::lock_guard lock{mutex_};
  stopped_ = true;
  ended.swap(thread_);
  changed_.notify_all();
}

void spilling_store::run() {
  for (locked lock{mutex_};;) {
    changed_.wait(lock, [this] { return stopped_ || !tasks_.empty(); });
    if (tasks_.empty())
      return;
    {
      auto next = std::move(tasks_.front());
      tasks_.pop_front();
      working_ = true;
      next.act(lock);
      lock.lock();
      if (const auto i = waiting_.find(next.id); --i->second == 0)
        waiting_.erase(i);
      working_ = false;
      ++steps_;
      lock.unlock();
    } // what the task held is released without the lock
    lock.lock();
  }
}

template <class Result, class Work>
void spilling_store::ask(const keyframe_id& id, std::function<void(Result, std::exception_ptr)> answer, Work work) {
  const auto act = [](locked& lock, bool may_touch_the_file, auto& what, const auto& tell) {
    std::optional<Result> out;
    std::exception_ptr failure;
    try {
      out = what(lock, may_touch_the_file);
    } catch (...) {
      failure = std::current_exception();
    }
    if (!out && !failure)
      return false;
    lock.unlock();
    tell(out ? std::move(*out) : Result{}, std::move(failure));
    return true;
  };
  locked lock{mutex_};
  if (stopped_) {
    lock.unlock();
    return answer(Result{}, std::make_exception_ptr(std::runtime_error("the keyframe store has ended")));
  }
  if (!waiting_.contains(id) && act(lock, !how_.own_thread, work, answer))
    return;
  auto& waiting = waiting_[id];
  tasks_.push_back(
    {id, [act, work = std::move(work), answer = std::move(answer)](locked& its) mutable { act(its, true, work, answer); }});
  ++waiting;
  changed_.notify_one();
}

template <class Work>
auto spilling_store::in_file(locked& lock, Work work) {
  struct without_lock {
    spilling_store& self;
    locked& lock;
    ~without_lock() {
      lock.lock();
      self.disk_bytes_ = self.file_ ? self.file_->bytes() : 0;
    }
  };
  lock.unlock();
  const without_lock again{*this, lock};
  if (!file_)
    file_ = how_.open(how_.folder);
  return work(*file_);
}

void spilling_store::add(stored_keyframe frame) {
  const auto [i, fresh] = index_.try_emplace(frame.id, order_.end());
  try {
    const auto count = frame.rays.rays->size();
    order_.push_back({std::move(frame), count, ++numbers_});
  } catch (...) {
    index_.erase(i);
    throw;
  }
  const auto place = i->second = std::prev(order_.end());
  if (oldest_in_memory_ == order_.end())
    oldest_in_memory_ = place;
  rays_ += place->rays;
  memory_bytes_ += place->bytes();
}

void spilling_store::remove(entries::iterator place) {
  if (place->in_memory())
    memory_bytes_ -= place->bytes();
  rays_ -= place->rays;
  if (oldest_in_memory_ == place)
    ++oldest_in_memory_;
  index_.erase(place->frame.id);
  order_.erase(place);
}

void spilling_store::spill(locked& lock) {
  while (memory_bytes_ > how_.cap_bytes && oldest_in_memory_ != order_.end()) {
    const auto id = oldest_in_memory_->frame.id;
    const auto number = oldest_in_memory_->number;
    const auto rays = oldest_in_memory_->frame.rays.rays;
    auto pages = in_file(lock, [&](page_file& file) { return file.write(std::as_bytes(std::span{*rays})); });
    const auto i = index_.find(id);
    if (i == index_.end() || i->second->number != number) { // it was taken out meanwhile
      in_file(lock, [&](page_file& file) { file.free(pages); });
      continue;
    }
    memory_bytes_ -= i->second->bytes();
    i->second->pages = std::move(pages);
    i->second->frame.rays.rays.reset();
    ++oldest_in_memory_; // that is still the oldest: new ones are put behind it
  }
}

void spilling_store::put(stored_keyframe frame, done answer) {
  if (!frame.rays.rays)
    frame.rays = ray_batch{};
  frame.reach = {}; // of use after the process alone
  const auto id = frame.id;
  ask<bool>(id, std::move(answer),
            [this, frame = std::move(frame)](locked& lock, bool may_touch_the_file) mutable -> std::optional<bool> {
              const auto name = frame.id;
              if (index_.contains(name))
                return false;
              if (!may_touch_the_file && memory_bytes_ + frame.rays.rays->size() * sizeof(ray) > how_.cap_bytes)
                return {};
              add(std::move(frame));
              try {
                spill(lock);
              } catch (...) {
                remove(index_.at(name)); // what cannot be kept within the cap is not kept at all
                throw;
              }
              return true;
            });
}

void spilling_store::get(const keyframe_id& id, got answer) {
  using found = std::optional<stored_keyframe>;
  ask<found>(id, std::move(answer), [this, id](locked& lock, bool may_touch_the_file) -> std::optional<found> {
    const auto i = index_.find(id);
    if (i == index_.end())
      return found{};
    const auto& e = *i->second;
    if (e.in_memory())
      return found{e.frame};
    if (!may_touch_the_file)
      return {};
    auto frame = e.frame;
    const auto pages = e.pages; // of which nothing is freed meanwhile: that is for this thread to do
    const auto count = e.rays;
    frame.rays.rays = in_file(lock, [&](page_file& file) {
      auto rays = std::make_shared<std::vector<ray>>(static_cast<size_t>(count));
      file.read(pages, std::as_writable_bytes(std::span{*rays}));
      return rays;
    });
    return found{std::move(frame)};
  });
}

void spilling_store::erase(const keyframe_id& id, done answer) {
  ask<bool>(id, std::move(answer), [this, id](locked& lock, bool may_touch_the_file) -> std::optional<bool> {
    const auto i = index_.find(id);
    if (i == index_.end())
      return false;
    const auto place = i->second;
    if (!place->in_memory() && !may_touch_the_file)
      return {};
    std::vector<uint64_t> dropped; // of which there are no records
    gone_.enter(id, gone_kind::went, 0, dropped);
    const auto pages = std::move(place->pages);
    remove(place);
    if (!pages.empty())
      in_file(lock, [&](page_file& file) { file.free(pages); });
    return true;
  });
}

void spilling_store::set_place(const keyframe_id& id, const keyframe_place& to, done answer) {
  ask<bool>(id, std::move(answer), [this, id, to](locked&, bool) -> std::optional<bool> {
    const auto i = index_.find(id);
    if (i == index_.end())
      return false;
    i->second->frame.world_from_camera = to.world_from_camera;
    i->second->frame.revision = to.revision;
    return true;
  });
}

void spilling_store::remember(const retraction& what, done answer) {
  ask<bool>(what.id, std::move(answer), [this, what](locked&, bool) -> std::optional<bool> {
    if (how_.remembered == 0 || index_.contains(what.id) || gone_.find(what.id) != nullptr)
      return false;
    std::vector<uint64_t> dropped;
    gone_.enter(what.id, gone_kind::retracted, what.admission, dropped);
    return true;
  });
}

void spilling_store::forget_retraction(const keyframe_id& id, done answer) {
  ask<bool>(id, std::move(answer), [this, id](locked&, bool) -> std::optional<bool> {
    if (!gone_.is(id, gone_kind::retracted))
      return false;
    gone_.erase(id);
    return true;
  });
}

std::optional<retraction> spilling_store::retracted(const keyframe_id& id) const {
  const std::lock_guard lock{mutex_};
  return gone_.retracted(id);
}

std::vector<retraction> spilling_store::retractions() const {
  const std::lock_guard lock{mutex_};
  return gone_.retractions();
}

void spilling_store::quarantine(quarantined_keyframe what, done answer) {
  quarantined_.enter(std::move(what));
  answer(true, nullptr);
}

void spilling_store::release(const keyframe_id& id, done answer) {
  answer(quarantined_.erase(id), nullptr);
}

std::vector<quarantined_keyframe> spilling_store::quarantined() const {
  auto out = quarantined_.list();
  std::reverse(out.begin(), out.end());
  return out;
}

std::vector<keyframe_id> spilling_store::ids() const {
  const std::lock_guard lock{mutex_};
  std::vector<keyframe_id> out;
  out.reserve(order_.size());
  for (const auto& e : order_)
    out.push_back(e.frame.id);
  for (const auto& [id, tasks] : waiting_)
    if (!index_.contains(id))
      out.push_back(id);
  return out;
}

std::vector<std::pair<keyframe_id, std::array<float, 3>>> spilling_store::cameras() const {
  const std::lock_guard lock{mutex_};
  std::vector<std::pair<keyframe_id, std::array<float, 3>>> out;
  out.reserve(order_.size());
  for (const auto& e : order_)
    out.emplace_back(e.frame.id, position_of(e.frame.world_from_camera));
  return out;
}

std::map<std::string, uint64_t> spilling_store::group_revisions() const {
  const std::lock_guard lock{mutex_};
  std::map<std::string, uint64_t> out;
  for (const auto& e : order_)
    enter_revision(out, e.frame.group, e.frame.revision);
  return out;
}

std::vector<store_pulse> spilling_store::pulses() const {
  const std::lock_guard lock{mutex_};
  const auto left = tasks_.size() + (working_ ? 1 : 0);
  return {{"keyframe store", std::to_string(left) + " keyframes wait for the disk", {left > 0, steps_}}};
}

store_usage spilling_store::usage() const {
  const std::lock_guard lock{mutex_};
  return {order_.size(), rays_, memory_bytes_ + order_.size() * index_bytes, disk_bytes_, gone_.count(gone_kind::retracted),
          gone_.let_go()};
}

} // namespace tessera
