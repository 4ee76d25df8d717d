#include "actors/store/journal_store.hpp"

#include "messages/thread_name.hpp"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace tessera {

namespace {

constexpr uint64_t index_bytes = 300; // two nodes and two ids: near enough to say what it takes
/// Pause before something is tried again that could not be written and must be.
constexpr std::chrono::milliseconds pause{500};
/// How often it is looked how much the disk holds.
constexpr std::chrono::seconds between_looks{1};
/// Erased rays are worth tidying when they are more than the live ones, and so many at least.
constexpr uint64_t worth_tidying = (uint64_t{32} << 20) / sizeof(ray);

} // namespace

journal_store::journal_store(std::shared_ptr<journal> in) : journal_{std::move(in)} {
  journal::batch twice;
  for (const auto& [number, kept] : journal_->keyframes()) {
    const auto [i, fresh] = index_.try_emplace(kept.frame.id);
    if (!fresh) { // it was answered that the older one could not be stored, and then the process ended
      twice.erases.push_back(i->second.number);
      by_number_.erase(i->second.number);
      rays_ -= i->second.rays;
    }
    i->second = {number, kept.rays};
    by_number_[number] = kept.frame.id;
    rays_ += kept.rays;
    numbers_ = number;
  }
  if (!twice.empty())
    journal_->write(twice);
  disk_bytes_ = journal_->disk_bytes();
  writer_ = std::jthread{[this] {
    name_thread("journal");
    write_all();
  }};
  try {
    reader_ = std::jthread{[this] {
      name_thread("journal read");
      read_all();
    }};
    tidier_ = std::jthread{[this] {
      name_thread("journal tidy");
      tidy();
    }};
  } catch (...) {
    stop();
    throw;
  }
}

journal_store::~journal_store() {
  stop();
}

void journal_store::stop() {
  std::jthread ended[3]; // are joined without the lock
  const std::lock_guard lock{mutex_};
  stopped_ = true;
  stop_tidying_ = true;
  ended[0].swap(writer_);
  ended[1].swap(reader_);
  ended[2].swap(tidier_);
  to_write_.notify_all();
  to_read_.notify_all();
  to_tidy_.notify_all();
}

void journal_store::ask(task_ptr t) {
  {
    const std::lock_guard lock{mutex_};
    if (!stopped_) {
      auto& line = lines_[t->id];
      line.push_back(t);
      if (line.size() == 1)
        hand(t);
      return;
    }
  }
  answer(t, false, std::make_exception_ptr(std::runtime_error("the keyframe store has ended")));
}

void journal_store::hand(const task_ptr& t) {
  if (t->what == kind::get) {
    reads_.push_back(t);
    to_read_.notify_one();
  } else {
    changes_.push_back(t);
    to_write_.notify_one();
  }
}

void journal_store::next(const keyframe_id& id) {
  const auto i = lines_.find(id);
  i->second.pop_front();
  if (i->second.empty()) {
    lines_.erase(i);
    if (stopped_) { // a thread may wait for the last of the other's
      to_write_.notify_all();
      to_read_.notify_all();
    }
  } else {
    hand(i->second.front());
  }
}

void journal_store::answer(const task_ptr& t, bool did, std::exception_ptr failure) {
  if (t->what == kind::get)
    t->found(std::nullopt, std::move(failure));
  else
    t->changed(did, std::move(failure));
}

void journal_store::put(stored_keyframe frame, done answer) {
  if (!frame.rays.rays)
    frame.rays = ray_batch{};
  auto t = std::make_shared<task>(task{kind::put, frame.id});
  t->frame = std::move(frame);
  t->changed = std::move(answer);
  ask(std::move(t));
}

void journal_store::get(const keyframe_id& id, got answer) {
  auto t = std::make_shared<task>(task{kind::get, id});
  t->found = std::move(answer);
  ask(std::move(t));
}

void journal_store::erase(const keyframe_id& id, done answer) {
  auto t = std::make_shared<task>(task{kind::erase, id});
  t->changed = std::move(answer);
  ask(std::move(t));
}

void journal_store::set_pose(const keyframe_id& id, const pose& world_from_camera, done answer) {
  auto t = std::make_shared<task>(task{kind::move, id});
  t->to = world_from_camera;
  t->changed = std::move(answer);
  ask(std::move(t));
}

void journal_store::write_all() {
  auto looked = std::chrono::steady_clock::now();
  std::vector<task_ptr> owed;
  for (locked lock{mutex_};;) {
    const auto come = [this] { return !changes_.empty() || (stopped_ && lines_.empty()); };
    if (owed.empty())
      to_write_.wait(lock, come);
    else
      to_write_.wait_for(lock, pause, [&] { return come() || stopped_; });
    auto group = std::exchange(owed, {});
    group.insert(group.end(), changes_.begin(), changes_.end());
    changes_.clear();
    if (group.empty())
      return;
    const auto last = stopped_;
    lock.unlock();
    owed = commit(group);
    memory_bytes_ = journal_->memory_bytes();
    group.clear(); // what it held is let go of without the lock
    if (last)
      for (const auto& t : std::exchange(owed, {})) {
        answer(t, false, std::make_exception_ptr(std::runtime_error("the keyframe store has ended, and could not write")));
        lock.lock();
        next(t->id);
        lock.unlock();
      }
    if (const auto now = std::chrono::steady_clock::now(); now - looked > between_looks) {
      looked = now;
      disk_bytes_ = journal_->disk_bytes();
    }
    lock.lock();
  }
}

std::vector<journal_store::task_ptr> journal_store::commit(const std::vector<task_ptr>& group) {
  journal::batch changes;
  std::vector<task_ptr> nothing, written;
  uint64_t bytes = 0;
  {
    const std::lock_guard lock{mutex_};
    for (const auto& t : group) {
      const auto i = index_.find(t->id);
      if ((t->what == kind::put) == (i != index_.end())) {
        nothing.push_back(t);
        continue;
      }
      t->number = t->what == kind::put ? ++numbers_ : i->second.number;
      if (t->what == kind::put)
        bytes += t->frame.rays.rays->size() * sizeof(ray);
      written.push_back(t);
    }
  }
  std::exception_ptr failure;
  try {
    if (bytes > 0 && !journal_->has_room(bytes))
      throw std::system_error(ENOSPC, std::generic_category(), "the journal " + journal_->folder() + " takes no more");
  } catch (...) {
    failure = std::current_exception(); // of those that are new; the others may still be written
  }
  for (const auto& t : written)
    if (t->what == kind::erase)
      changes.erases.push_back(t->number);
    else if (t->what == kind::move)
      changes.moves.emplace_back(t->number, t->to);
    else if (!failure)
      changes.puts.emplace_back(t->number, &t->frame);
  auto all_failed = false;
  try {
    if (!changes.empty())
      journal_->write(changes);
  } catch (...) {
    failure = std::current_exception();
    all_failed = true;
  }

  std::vector<task_ptr> owed;
  const auto tell = [this](const task_ptr& t, bool did, const std::exception_ptr& why) {
    answer(t, did, why);
    const std::lock_guard lock{mutex_};
    next(t->id);
  };
  for (const auto& t : nothing)
    tell(t, false, nullptr);
  for (const auto& t : written) {
    const auto is_put = t->what == kind::put;
    if (is_put ? failure != nullptr : all_failed) {
      if (is_put)
        tell(t, false, failure);
      else
        owed.push_back(t);
      continue;
    }
    {
      const std::lock_guard lock{mutex_};
      count(*t);
    }
    tell(t, true, nullptr);
  }
  return owed;
}

void journal_store::count(const task& t) {
  if (t.what == kind::put) {
    const auto rays = t.frame.rays.rays->size();
    index_[t.id] = {t.number, rays};
    by_number_[t.number] = t.id;
    rays_ += rays;
  } else if (t.what == kind::erase) {
    const auto i = index_.find(t.id);
    rays_ -= i->second.rays;
    erased_rays_ += i->second.rays;
    by_number_.erase(i->second.number);
    index_.erase(i);
    if (erased_rays_ > std::max(rays_, worth_tidying))
      to_tidy_.notify_one();
  }
}

void journal_store::read_all() {
  for (locked lock{mutex_};;) {
    to_read_.wait(lock, [this] { return !reads_.empty() || (stopped_ && lines_.empty()); });
    if (reads_.empty())
      return;
    const auto t = std::move(reads_.front());
    reads_.pop_front();
    const auto i = index_.find(t->id);
    const auto number = i == index_.end() ? 0 : i->second.number;
    lock.unlock();
    std::optional<stored_keyframe> frame;
    std::exception_ptr failure;
    try {
      if (number != 0)
        frame = journal_->read(number);
    } catch (...) {
      failure = std::current_exception();
    }
    t->found(std::move(frame), std::move(failure));
    lock.lock();
    next(t->id);
  }
}

void journal_store::tidy() {
  for (locked lock{mutex_};;) {
    to_tidy_.wait(lock, [this] { return stopped_ || erased_rays_ > std::max(rays_, worth_tidying); });
    if (stopped_)
      return;
    erased_rays_ = 0;
    lock.unlock();
    journal_->compact(stop_tidying_);
    disk_bytes_ = journal_->disk_bytes();
    lock.lock();
  }
}

std::vector<keyframe_id> journal_store::ids() const {
  const std::lock_guard lock{mutex_};
  std::vector<keyframe_id> out;
  out.reserve(index_.size());
  for (const auto& [number, id] : by_number_)
    out.push_back(id);
  for (const auto& [id, line] : lines_)
    if (!index_.contains(id))
      out.push_back(id);
  return out;
}

store_usage journal_store::usage() const {
  const std::lock_guard lock{mutex_};
  return {index_.size(), rays_, memory_bytes_ + index_.size() * index_bytes, disk_bytes_};
}

} // namespace tessera
