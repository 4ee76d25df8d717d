#include "actors/store/journal_store.hpp"

#include "actors/base/thread_rank.hpp"
#include "actors/base/thrown_text.hpp"
#include "messages/thread_name.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace tessera {

namespace {

constexpr uint64_t index_bytes = 300; // two nodes and two ids: near enough to say what it takes
/// Pause before something is tried again that could not be written and must be.
constexpr std::chrono::milliseconds pause{500};
/// The same for tidying, of which nothing else depends.
constexpr std::chrono::minutes before_tidying_again{1};
/// How often it is looked how much the disk holds.
constexpr std::chrono::seconds between_looks{1};
/// Erased rays are worth tidying when they are more than the live ones, and so many at least.
constexpr uint64_t worth_tidying = (uint64_t{32} << 20) / sizeof(ray);

} // namespace

journal_store::journal_store(std::shared_ptr<journal> in, log_function log, size_t remembered)
  : journal_{std::move(in)}, log_{std::move(log)}, gone_{remembered} {
  journal::batch no_more;
  uint64_t in_blobs = 0; // records
  for (auto& [number, kept] : journal_->keyframes()) {
    const auto [i, fresh] = index_.try_emplace(kept.frame.id);
    if (!fresh) { // it was answered that the older one could not be stored, and then the process ended
      no_more.erases.push_back(i->second.number);
      by_number_.erase(i->second.number);
      kept_.erase(i->second.number);
      rays_ -= i->second.rays;
    }
    i->second = {number, kept.rays, kept.frame.group, kept.frame.revision, 0, position_of(kept.frame.world_from_camera)};
    by_number_[number] = kept.frame.id;
    rays_ += kept.rays;
    in_blobs += journal::blobs_of(kept);
    numbers_ = number;
    kept_.emplace(number, std::move(kept));
  }
  for (const auto& [number, its] : journal_->gone())
    if (gone_.enter(its.id, its.kind, 0, no_more.gone_no_more, number) == 0)
      no_more.gone_no_more.push_back(number);
  if (!no_more.empty())
    journal_->write(no_more);
  auto in_quarantine = journal_->quarantined();
  std::sort(in_quarantine.begin(), in_quarantine.end(), [](const auto& a, const auto& b) { return a.time_ns < b.time_ns; });
  quarantined_.assign(std::move(in_quarantine));
  erased_rays_ = journal_->erased_bytes(in_blobs) / journal::disk_bytes_a_ray;
  disk_bytes_ = journal_->disk_bytes();
  writer_ = std::jthread{[this] {
    name_thread("journal");
    set_thread_rank(thread_rank::journal);
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
  journal_->end_compacting();
  ended[0].swap(writer_);
  ended[1].swap(reader_);
  ended[2].swap(tidier_);
  to_write_.notify_all();
  to_read_.notify_all();
  to_tidy_.notify_all();
}

void journal_store::ask(task t) {
  tasks one;
  one.push_back(std::move(t));
  {
    const std::lock_guard lock{mutex_};
    if (!stopped_) {
      const auto [line, idle] = lines_.try_emplace(one.front().id);
      if (idle)
        hand(one);
      else
        line->second.splice(line->second.end(), one);
      return;
    }
  }
  answer(one.front(), false, {}, std::make_exception_ptr(std::runtime_error("the keyframe store has ended")));
}

void journal_store::hand(tasks& line) noexcept {
  auto& to = line.front().what == kind::get ? reads_ : changes_;
  to.splice(to.end(), line, line.begin());
  (&to == &reads_ ? to_read_ : to_write_).notify_one();
}

void journal_store::next(const keyframe_id& id) noexcept {
  const auto line = lines_.find(id);
  if (!line->second.empty())
    return hand(line->second);
  lines_.erase(line);
  if (stopped_) { // a thread may wait for the last of the other's
    to_write_.notify_all();
    to_read_.notify_all();
  }
}

void journal_store::answer(const task& t, bool did, std::optional<stored_keyframe> frame,
                           const std::exception_ptr& failure) noexcept {
  try {
    if (t.what == kind::get)
      t.found(std::move(frame), failure);
    else
      t.changed(did, failure);
  } catch (...) {
    say(severity::error, "an answer of the journal was not heard: ", std::current_exception());
  }
}

void journal_store::put(stored_keyframe frame, done answer) {
  if (!frame.rays.rays)
    frame.rays = ray_batch{};
  task t{kind::put, frame.id};
  t.frame = std::move(frame);
  t.changed = std::move(answer);
  ask(std::move(t));
}

void journal_store::get(const keyframe_id& id, got answer) {
  task t{kind::get, id};
  t.found = std::move(answer);
  ask(std::move(t));
}

void journal_store::erase(const keyframe_id& id, done answer) {
  task t{kind::erase, id};
  t.changed = std::move(answer);
  ask(std::move(t));
}

void journal_store::set_place(const keyframe_id& id, const keyframe_place& to, done answer) {
  task t{kind::move, id};
  t.to = to;
  t.changed = std::move(answer);
  ask(std::move(t));
}

void journal_store::write_all() {
  auto looked = std::chrono::steady_clock::now();
  tasks group; // what is owed, at first
  notes noted; // likewise
  for (locked lock{mutex_};;) {
    const auto come = [this] { return !changes_.empty() || !notes_.empty() || (stopped_ && lines_.empty()); };
    const auto owes = !group.empty() || !noted.empty();
    if (owes)
      to_write_.wait_for(lock, pause, [&] { return come() || stopped_; });
    else
      to_write_.wait(lock, come);
    take(group);
    noted.splice(noted.end(), notes_);
    if (group.empty() && noted.empty())
      return;
    const auto last = stopped_;
    writing_ = group.size() + noted.size();
    lock.unlock();
    auto failure = write(noted, last);
    if (const auto its = commit(group))
      failure = its;
    memory_bytes_ = journal_->memory_bytes();
    if ((!group.empty() || !noted.empty()) && !owes)
      say(severity::error, "what must be written to the journal is tried until it is: ", failure);
    while (last && !group.empty())
      finish(group, group.begin(), false, failure);
    if (const auto now = std::chrono::steady_clock::now(); now - looked > between_looks) {
      looked = now;
      disk_bytes_ = journal_->disk_bytes();
    }
    lock.lock();
    writing_ = group.size() + noted.size();
    ++writes_done_;
  }
}

void journal_store::take(tasks& group) noexcept {
  tasks come;
  for (uint64_t bytes = 0; !changes_.empty();) {
    const auto& rays = changes_.front().frame.rays.rays;
    bytes += index_bytes + (rays ? rays->size() * sizeof(ray) : 0);
    if (bytes > journal_->buffer_bytes() && !come.empty())
      break;
    come.splice(come.end(), changes_, changes_.begin());
  }
  group.splice(group.end(), come);
}

uint64_t journal_store::prepare(tasks& group) {
  uint64_t bytes = 0;
  const std::lock_guard lock{mutex_};
  for (auto& t : group) {
    if (t.what == kind::remember || t.what == kind::forget) {
      prepare_gone(t);
      continue;
    }
    const auto i = index_.find(t.id);
    t.due = (t.what == kind::put) == (i == index_.end());
    if (!t.due)
      continue;
    if (t.what != kind::put) {
      t.number = i->second.number;
      if (t.what == kind::move) {
        i->second.revision = t.to.revision;
        i->second.camera = position_of(t.to.world_from_camera);
      } else if (t.gone == 0)
        t.gone = gone_.enter(t.id, gone_kind::went, 0, dropped_gone_);
      continue;
    }
    const auto rays = t.frame.rays.rays->size();
    t.number = ++numbers_;
    by_number_.emplace(t.number, t.id);
    index_.emplace(
      t.id, entry{t.number, rays, t.frame.group, t.frame.revision, t.frame.admission, position_of(t.frame.world_from_camera)});
    rays_ += rays;
    bytes += rays * sizeof(ray);
  }
  return bytes;
}

std::exception_ptr journal_store::commit(tasks& group) noexcept {
  std::exception_ptr puts_failed, failed;
  try {
    const auto bytes = prepare(group);
    try {
      while (bytes > 0 && !journal_->has_room(bytes))
        if (!make_room_ || !make_room_())
          throw std::system_error(ENOSPC, std::generic_category(), "the journal " + journal_->folder() + " takes no more");
    } catch (...) {
      puts_failed = std::current_exception(); // the others may still be written
    }
    journal::batch changes;
    for (const auto& t : group) {
      if (!t.due)
        continue;
      if (t.what == kind::erase)
        changes.erases.push_back(t.number);
      else if (t.what == kind::move)
        changes.moves.emplace_back(t.number, t.to);
      else if (t.what == kind::put && !puts_failed)
        changes.puts.emplace_back(t.number, &t.frame);
      if (t.what == kind::forget)
        changes.gone_no_more.push_back(t.gone);
      else if (t.gone != 0)
        changes.gone.emplace_back(t.gone, gone_id{t.id, t.what == kind::erase ? gone_kind::went : gone_kind::retracted});
    }
    changes.gone_no_more.insert(changes.gone_no_more.end(), dropped_gone_.begin(), dropped_gone_.end());
    if (!changes.empty())
      journal_->write(changes);
    dropped_gone_.clear();
  } catch (...) {
    puts_failed = failed = std::current_exception();
  }
  for (auto i = group.begin(); i != group.end();) {
    const auto t = i++;
    const auto is_put = t->what == kind::put;
    if (!t->due)
      finish(group, t, false, nullptr);
    else if (is_put || !failed)
      finish(group, t, !is_put || !puts_failed, is_put ? puts_failed : nullptr);
  }
  return failed;
}

void journal_store::finish(tasks& group, tasks::iterator which, bool did, const std::exception_ptr& failure) noexcept {
  tasks last; // is let go of without the lock
  last.splice(last.end(), group, which);
  const auto& t = last.front();
  if (t.what == kind::forget && did) {
    const std::lock_guard lock{mutex_};
    gone_.erase(t.id);
  }
  if (t.what == kind::erase ? did : t.what == kind::put && t.due && !did) {
    const std::lock_guard lock{mutex_};
    const auto rays = forget(t.id, t.number);
    if (t.what == kind::erase && (erased_rays_ += rays) > std::max(rays_, worth_tidying))
      to_tidy_.notify_one();
  }
  answer(t, did, {}, failure);
  const std::lock_guard lock{mutex_};
  next(t.id);
}

uint64_t journal_store::forget(const keyframe_id& id, uint64_t number) noexcept {
  by_number_.erase(number);
  const auto i = index_.find(id);
  if (i == index_.end() || i->second.number != number)
    return 0; // there was no memory to enter it
  const auto rays = i->second.rays;
  rays_ -= rays;
  index_.erase(i);
  return rays;
}

void journal_store::read_all() {
  for (locked lock{mutex_};;) {
    to_read_.wait(lock, [this] { return !reads_.empty() || (stopped_ && lines_.empty()); });
    if (reads_.empty())
      return;
    tasks one;
    one.splice(one.end(), reads_, reads_.begin());
    const auto& t = one.front();
    const auto i = index_.find(t.id);
    const auto number = i == index_.end() ? 0 : i->second.number;
    const auto admission = i == index_.end() ? 0 : i->second.admission;
    reading_ = 1;
    lock.unlock();
    std::optional<stored_keyframe> frame;
    std::exception_ptr failure;
    try {
      if (number != 0) {
        journal_->open_if_closed(); // a retraction is a read first: nothing else may come
        frame = journal_->read(number);
        frame->admission = admission;
      }
    } catch (...) {
      failure = std::current_exception();
    }
    answer(t, false, std::move(frame), failure);
    lock.lock();
    reading_ = 0;
    ++reads_done_;
    next(t.id);
    lock.unlock();
    one.clear();
    lock.lock();
  }
}

void journal_store::tidy() {
  auto failing = false;
  for (locked lock{mutex_};;) {
    to_tidy_.wait(lock, [this] { return stopped_ || erased_rays_ > std::max(rays_, worth_tidying); });
    if (stopped_)
      return;
    const auto erased = erased_rays_;
    lock.unlock();
    auto did = false;
    try {
      did = journal_->compact();
      failing = false;
    } catch (...) {
      if (!std::exchange(failing, true))
        say(severity::warning, "what was erased still takes space on the disk: ", std::current_exception());
    }
    disk_bytes_ = journal_->disk_bytes();
    lock.lock();
    if (did)
      erased_rays_ -= erased;
    else
      to_tidy_.wait_for(lock, before_tidying_again, [this] { return stopped_; });
  }
}

void journal_store::say(severity how, const std::string& what, const std::exception_ptr& why) const noexcept {
  try {
    if (log_)
      log_(how, what + thrown_text(why));
  } catch (...) {
    // there is no memory to say it with
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

std::vector<kept_keyframe> journal_store::take_kept() {
  std::map<uint64_t, kept_keyframe> all;
  {
    const std::lock_guard lock{mutex_};
    all.swap(kept_);
  }
  std::vector<kept_keyframe> out;
  out.reserve(all.size());
  for (auto& [number, one] : all)
    out.push_back(std::move(one));
  return out;
}

std::vector<std::pair<keyframe_id, std::array<float, 3>>> journal_store::cameras() const {
  const std::lock_guard lock{mutex_};
  std::vector<std::pair<keyframe_id, std::array<float, 3>>> out;
  out.reserve(index_.size());
  for (const auto& [id, its] : index_)
    out.emplace_back(id, its.camera);
  return out;
}

std::map<std::string, uint64_t> journal_store::group_revisions() const {
  const std::lock_guard lock{mutex_};
  std::map<std::string, uint64_t> out;
  for (const auto& [id, its] : index_)
    enter_revision(out, its.group, its.revision);
  return out;
}

std::vector<store_pulse> journal_store::pulses() const {
  const std::lock_guard lock{mutex_};
  const auto to_write = changes_.size() + notes_.size() + writing_, to_read = reads_.size() + reading_;
  return {{"journal's writer", std::to_string(to_write) + " changes are not on the disk", {to_write > 0, writes_done_}},
          {"journal's reader", std::to_string(to_read) + " keyframes are not read", {to_read > 0, reads_done_}}};
}

store_usage journal_store::usage() const {
  const std::lock_guard lock{mutex_};
  return {index_.size(), rays_, memory_bytes_ + index_.size() * index_bytes, disk_bytes_, gone_.count(gone_kind::retracted),
          gone_.let_go()};
}

} // namespace tessera
