#include "actors/store/region_snapshots.hpp"

#include "actors/base/thread_rank.hpp"
#include "actors/store/snapshot_folder.hpp"
#include "messages/clock.hpp"
#include "messages/thread_name.hpp"
#include "messages/xxh3.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

namespace tessera {

namespace fs = std::filesystem;

namespace {

uint64_t digest_of(const std::vector<uint64_t>& stamps) {
  return XXH3_64bits(stamps.data(), stamps.size() * sizeof(uint64_t));
}

} // namespace

region_snapshots::region_snapshots(std::string folder, snapshot_options how, log_function log)
  : folder_{std::move(folder)}, how_{std::move(how)}, log_{std::move(log)} {
  fs::create_directories(folder_);
  look();
  if (how_.own_thread)
    thread_ = std::jthread{[this] {
      name_thread("snapshots");
      set_thread_rank(thread_rank::snapshots);
      work_all();
    }};
}

region_snapshots::~region_snapshots() {
  stop();
}

void region_snapshots::stop() {
  std::jthread ended; // is joined without the lock
  {
    const std::lock_guard lock{mutex_};
    stopped_ = true;
    writes_.clear();
    ended.swap(thread_);
  }
  changed_.notify_all();
}

void region_snapshots::look() {
  for (const auto& one : fs::directory_iterator{folder_}) {
    const auto name = one.path().filename().string();
    if (name.ends_with(unfinished_snapshot)) // of a process that ended while it wrote it
      ::unlink(one.path().c_str());
    struct stat its {};
    const auto region = region_of_snapshot(name);
    if (!region || ::stat(one.path().c_str(), &its) != 0)
      continue;
    const auto time_ns = static_cast<uint64_t>(its.st_mtim.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(its.st_mtim.tv_nsec);
    enter(*region, entry{{}, static_cast<uint64_t>(its.st_size), time_ns});
  }
  while (numbers_.bytes > how_.most_bytes && make_room()) // there was room for more when they were written
    ;
  failed_.clear();
  not_before_ = {};
  for (const auto& [region, its] : index_)
    kept_.push_back(region);
}

std::vector<region_key> region_snapshots::take_kept() {
  const std::lock_guard lock{mutex_};
  return std::exchange(kept_, {});
}

void region_snapshots::read(const region_key& region, got answer) {
  {
    const std::lock_guard lock{mutex_};
    if (!stopped_) {
      reads_.push_back({region, std::move(answer)});
      answer = nullptr;
    }
  }
  if (answer)
    return answer(nullptr);
  go_on();
}

bool region_snapshots::ready() const {
  const std::lock_guard lock{mutex_};
  return how_.most_bytes > 0 && !stopped_ && writes_.empty() && !busy_ && clock::now() >= not_before_;
}

void region_snapshots::write(const region_key& region, std::vector<uint64_t> stamps, region_image image) {
  {
    const std::lock_guard lock{mutex_};
    if (stopped_)
      return;
    writes_.push_back({{region, system_ns(), std::move(stamps)}, std::move(image)});
  }
  go_on();
}

void region_snapshots::erase(const region_key& region) {
  {
    const std::lock_guard lock{mutex_};
    std::erase_if(writes_, [&](const write_task& t) { return t.head.region == region; });
    if (writing_ == region)
      writing_.reset();
    if (!index_.contains(region))
      return;
    enter(region, {});
    erases_.push_back(region);
  }
  go_on();
}

bool region_snapshots::holds(const region_key& region, const std::vector<uint64_t>& stamps) const {
  const std::lock_guard lock{mutex_};
  const auto i = index_.find(region);
  return i != index_.end() && i->second.stamps == digest_of(stamps);
}

std::vector<region_key> region_snapshots::take_failed() {
  const std::lock_guard lock{mutex_};
  return std::exchange(failed_, {});
}

bool region_snapshots::make_room() {
  const std::lock_guard files{files_};
  region_key oldest;
  {
    const std::lock_guard lock{mutex_};
    not_before_ = clock::now() + pause;
    const auto i = std::min_element(index_.begin(), index_.end(),
                                    [](const auto& a, const auto& b) { return a.second.time_ns < b.second.time_ns; });
    if (i == index_.end())
      return false;
    oldest = i->first;
    enter(oldest, {});
    failed_.push_back(oldest); // it has none any more, and may have one again
  }
  ::unlink(path_of(oldest).c_str());
  return true;
}

snapshot_usage region_snapshots::usage() const {
  const std::lock_guard lock{mutex_};
  auto out = numbers_;
  out.regions = index_.size();
  for (const auto& [region, its] : index_)
    out.oldest_ns = out.oldest_ns == 0 ? its.time_ns : std::min(out.oldest_ns, its.time_ns);
  return out;
}

bool region_snapshots::idle() const {
  const std::lock_guard lock{mutex_};
  return !busy_ && reads_.empty() && writes_.empty() && erases_.empty() && failed_.empty();
}

void region_snapshots::go_on() {
  if (how_.own_thread)
    return changed_.notify_one();
  locked lock{mutex_};
  while (!busy_ && work(lock))
    ;
}

void region_snapshots::work_all() {
  locked lock{mutex_};
  do
    changed_.wait(lock, [this] { return stopped_ || !reads_.empty() || !writes_.empty() || !erases_.empty(); });
  while (work(lock)); // else it is stopped
}

bool region_snapshots::work(locked& lock) {
  std::deque<read_task> read;
  std::deque<write_task> write;
  std::optional<region_key> gone;
  if (!erases_.empty()) {
    gone = erases_.front();
    erases_.pop_front();
  } else if (!reads_.empty()) {
    read.push_back(std::move(reads_.front()));
    reads_.pop_front();
  } else if (!writes_.empty()) {
    write.push_back(std::move(writes_.front()));
    writes_.pop_front();
    writing_ = write.front().head.region;
  } else {
    return false;
  }
  busy_ = true;
  lock.unlock();
  if (gone)
    remove(*gone);
  if (!read.empty())
    do_read(read.front());
  if (!write.empty())
    do_write(write.front());
  read.clear();
  write.clear();
  lock.lock();
  busy_ = false;
  writing_.reset();
  return true;
}

void region_snapshots::do_read(const read_task& t) noexcept {
  shared_snapshot out;
  try {
    auto there = false;
    {
      const std::lock_guard lock{mutex_};
      there = !stopped_ && index_.contains(t.region);
    }
    if (there) {
      out = std::make_shared<region_snapshot>(read_snapshot_file(path_of(t.region)));
      const std::lock_guard lock{mutex_};
      if (const auto i = index_.find(t.region); i != index_.end())
        i->second.stamps = digest_of(out->head.stamps);
    }
  } catch (const bad_snapshot& e) {
    tell_useless(path_of(t.region), e.what());
    erase(t.region);
  } catch (const std::exception& e) { // another time it may be read
    tell_useless(path_of(t.region), e.what());
  }
  t.answer(std::move(out));
}

void region_snapshots::do_write(const write_task& t) noexcept {
  const auto& region = t.head.region;
  const auto begun = clock::now();
  try {
    const auto bytes = snapshot_bytes(t.head, t.image);
    {
      const std::lock_guard lock{mutex_};
      const auto i = index_.find(region);
      if (numbers_.bytes - (i == index_.end() ? 0 : i->second.bytes) + bytes.size() > how_.most_bytes)
        throw std::runtime_error("snapshots have all the room that they may take (snapshots, " + std::to_string(how_.most_bytes)
                                 + " bytes)");
    }
    if (how_.has_room && !how_.has_room(bytes.size()))
      throw std::system_error(ENOSPC, std::generic_category(), "keyframes may need the room");
    const auto path = path_of(region), part = path + std::string{unfinished_snapshot};
    try {
      write_file(part, bytes);
      const std::lock_guard files{files_};
      {
        const std::lock_guard lock{mutex_};
        if (writing_ != region) { // what it was of is no more
          ::unlink(part.c_str());
          return;
        }
      }
      if (::rename(part.c_str(), path.c_str()) != 0)
        throw std::system_error(errno, std::generic_category(), "cannot rename " + part);
      const std::lock_guard lock{mutex_};
      enter(region, entry{digest_of(t.head.stamps), bytes.size(), t.head.time_ns});
      ++numbers_.written;
      numbers_.written_bytes += bytes.size();
      const auto now = clock::now();
      not_before_ = std::max(not_before_, now + how_.rest * (now - begun));
    } catch (...) {
      ::unlink(part.c_str());
      throw;
    }
  } catch (const std::exception& e) {
    const std::lock_guard lock{mutex_};
    ++numbers_.failed;
    failed_.push_back(region);
    not_before_ = std::max(not_before_, clock::now() + pause);
    if (log_ && failures_.pass(clock::now()))
      log_(severity::warning, "the snapshot of region " + snapshot_name(region) + " is not written: " + e.what());
  }
}

void region_snapshots::remove(const region_key& region) noexcept {
  const std::lock_guard files{files_};
  {
    const std::lock_guard lock{mutex_};
    if (index_.contains(region))
      return; // another was written meanwhile
  }
  ::unlink(path_of(region).c_str());
}

void region_snapshots::enter(const region_key& region, const std::optional<entry>& its) {
  if (const auto i = index_.find(region); i != index_.end()) {
    numbers_.bytes -= i->second.bytes;
    index_.erase(i);
  }
  if (!its)
    return;
  numbers_.bytes += its->bytes;
  index_.emplace(region, *its);
}

void region_snapshots::tell_useless(const std::string& path, const char* why) noexcept {
  const std::lock_guard lock{mutex_};
  ++numbers_.damaged;
  if (log_)
    log_(severity::warning, "the snapshot " + path + " cannot be used, so that its region is made of keyframes: " + why);
}

} // namespace tessera
