#include "net/sources/shm_watch.hpp"

#include "net/sources/bell.hpp"
#include "net/sources/segment_keyframe.hpp"
#include "net/sources/utf8.hpp"

#include <spdlog/spdlog.h>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <stdexcept>
#include <tuple>

namespace tessera {

namespace {

using steady = std::chrono::steady_clock;

/// A segment that fits no header for so long is set aside (until it changes again).
constexpr auto patience = std::chrono::seconds(3);
constexpr auto recheck = std::chrono::milliseconds(20);

/// A folder under inotify.
class folder_watch {
public:
  folder_watch() : file_(inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
    if (!file_.valid()
        || inotify_add_watch(file_.get(), shm_folder,
                             IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR)
             < 0)
      throw std::runtime_error(std::string("cannot watch ") + shm_folder + ": " + std::strerror(errno)
                               + "; is it mounted, and is fs.inotify.max_user_watches large enough?");
  }
  [[nodiscard]] int fd() const { return file_.get(); }

  /// Calls on_event(name, mask) for each event that is there; returns false if events were lost.
  template <class F>
  bool read(F on_event) {
    alignas(inotify_event) std::array<char, 64 * (sizeof(inotify_event) + NAME_MAX + 1)> buffer;
    bool whole = true;
    for (;;) {
      auto n = ::read(file_.get(), buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return whole;
      for (char* at = buffer.data(); at < buffer.data() + n;) {
        const auto* event = reinterpret_cast<const inotify_event*>(at);
        if (event->mask & IN_Q_OVERFLOW)
          whole = false;
        else if (event->len > 0)
          on_event(std::string_view(event->name), event->mask);
        at += sizeof(inotify_event) + event->len;
      }
    }
  }

private:
  descriptor file_;
};

/// Segments that a sink has given its verdict on, from its threads to ours.
class verdict_desk {
public:
  struct entry {
    std::shared_ptr<const shm_segment> segment;
    verdict what;
  };
  void post(entry e) {
    {
      std::lock_guard lock(mutex_);
      entries_.push_back(std::move(e));
    }
    ring.ring();
  }
  std::vector<entry> take() {
    ring.quiet();
    std::lock_guard lock(mutex_);
    return std::exchange(entries_, {});
  }

  bell ring;

private:
  std::mutex mutex_;
  std::vector<entry> entries_;
};

std::string hex(uint64_t value) {
  std::string text(16, '0');
  for (size_t i = 16; i-- > 0; value >>= 4)
    text[i] = "0123456789abcdef"[value & 15];
  return text;
}

class shm_watch final : public source {
public:
  shm_watch(const std::string& prefix, const source_options& options)
    : prefix_(prefix.starts_with('/') ? prefix : "/" + prefix), options_(options) {
    if (prefix_.find('/', 1) != std::string::npos || prefix_.find("..") != std::string::npos || prefix_.size() < 2)
      throw std::invalid_argument("shared memory prefix is '" + printable(prefix_)
                                  + "', must be a slash and then one to 200 bytes without a slash or '..'");
  }

  [[nodiscard]] std::string kind() const override { return "shm"; }
  [[nodiscard]] std::string where() const override { return "shm:" + prefix_; }

  void run(keyframe_sink& sink, std::stop_token stop) override {
    folder_watch folder; // before the first look: nothing falls between
    auto desk = std::make_shared<verdict_desk>();
    std::stop_callback wake(stop, [desk] { desk->ring.ring(); });
    look_around();
    while (!stop.stop_requested()) {
      bool whole = folder.read([&](std::string_view file, uint32_t mask) { on_event(file, mask); });
      if (!whole)
        look_around(); // many segments at once: some events were lost
      settle(*desk, stop);
      take_ready(sink, desk, stop);
      if (stop.stop_requested())
        return; // its ring may be quiet already: settle() has heard it
      pollfd files[2] = {{folder.fd(), POLLIN, 0}, {desk->ring.fd(), POLLIN, 0}};
      ::poll(files, 2, waiting_.empty() ? -1 : static_cast<int>(recheck.count()));
    }
  }

private:
  /// A segment that may become a keyframe.
  struct candidate {
    bool closed = false;      // its writer let go of it
    steady::time_point since; // when it was first seen or last changed
    uint64_t order = 0;
    std::optional<segment_identity> last;
  };
  /// A segment as it was taken or set aside.
  struct taken {
    segment_identity what;
    bool reported = false;                // set aside as it is
    std::optional<uint64_t> first_digest; // of the first keyframe of this name
  };

  [[nodiscard]] bool ours(std::string_view file) const {
    auto prefix = std::string_view(prefix_).substr(1);
    return file.size() > prefix.size() && file.starts_with(prefix);
  }

  void on_event(std::string_view file, uint32_t mask) {
    if (!ours(file))
      return;
    auto name = "/" + std::string(file);
    if (mask & (IN_DELETE | IN_MOVED_FROM)) {
      waiting_.erase(name);
      forget(name);
      return;
    }
    note(name, (mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) != 0);
  }

  void note(const std::string& name, bool closed) {
    auto [at, fresh] = waiting_.try_emplace(name);
    auto& c = at->second;
    if (fresh)
      c.order = next_order_++;
    c.closed = closed;
    c.since = steady::now();
  }

  void look_around() {
    std::vector<std::pair<timespec, std::string>> found;
    struct closer {
      void operator()(DIR* d) const { closedir(d); }
    };
    std::unique_ptr<DIR, closer> folder(opendir(shm_folder));
    if (!folder)
      throw std::runtime_error(std::string("cannot list ") + shm_folder + ": " + std::strerror(errno));
    while (const auto* entry = readdir(folder.get())) {
      struct stat s {};
      if (ours(entry->d_name) && fstatat(dirfd(folder.get()), entry->d_name, &s, AT_SYMLINK_NOFOLLOW) == 0)
        found.emplace_back(s.st_mtim, "/" + std::string(entry->d_name));
    }
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
      auto key = [](const auto& f) { return std::tuple(f.first.tv_sec, f.first.tv_nsec, std::string_view(f.second)); };
      return key(a) < key(b);
    });
    // Whether somebody still writes to one of them cannot be seen: each must hold still for a while.
    for (const auto& [time, name] : found)
      if (!waiting_.contains(name))
        note(name, false);
  }

  /// A name that is gone may come back, with the same content or with other: what it was first is remembered,
  /// within bounds.
  void forget(const std::string& name) {
    constexpr size_t most = 100'000;
    auto at = taken_.find(name);
    if (at == taken_.end())
      return;
    at->second.what = {};
    at->second.reported = false;
    gone_.push_back(name);
    if (gone_.size() > most) {
      if (auto oldest = taken_.find(gone_.front()); oldest != taken_.end() && oldest->second.what.inode == 0)
        taken_.erase(oldest);
      gone_.pop_front();
    }
  }

  /// Takes every candidate that is whole by now.
  void take_ready(keyframe_sink& sink, const std::shared_ptr<verdict_desk>& desk, const std::stop_token& stop) {
    std::vector<std::pair<uint64_t, std::string>> names;
    for (const auto& [name, c] : waiting_)
      names.emplace_back(c.order, name);
    std::sort(names.begin(), names.end());
    for (const auto& [order, name] : names) {
      if (stop.stop_requested())
        return;
      if (decide(name, waiting_.at(name), sink, desk))
        waiting_.erase(name);
    }
  }

  /// Returns false if it must be looked at again.
  bool decide(const std::string& name, candidate& c, keyframe_sink& sink, const std::shared_ptr<verdict_desk>& desk) {
    try {
      auto key = checked_segment_name(name, prefix_);
      auto file = open_segment(key);
      if (!file.valid())
        return true;
      auto now = identify_segment(file);
      auto& before = taken_[name];
      if (before.what.inode != 0 && now.same_content(before.what))
        return true; // touched, not changed
      if (c.last && !now.same_content(*c.last)) {
        c.since = steady::now();
        c.closed = false;
      }
      c.last = now;
      auto age = steady::now() - c.since;
      try {
        (void)read_segment_header(file);
      } catch (const bad_input&) {
        // Perhaps it is not written yet; a writer may also let go of the file and still write through its
        // mapping.
        c.closed = false;
        if (now.bytes == 0)
          return age >= patience;
        if (age < patience)
          return false;
        throw;
      }
      c.closed = c.closed && now.whole;
      if (!c.closed && (age < std::chrono::milliseconds(options_.settle_ms) || (!now.whole && age < patience)))
        return false;
      auto segment = std::make_shared<const shm_segment>(key);
      keyframe_id id{name.substr(prefix_.size())};
      auto digest = segment->identity().digest;
      if (!before.first_digest)
        before.first_digest = digest;
      else if (digest != *before.first_digest)
        id.value += "@" + hex(digest);
      before.what = segment->identity();
      before.reported = false;
      keyframe frame;
      try {
        check_keyframe_id(id);
        frame = keyframe_of_segment(segment, std::move(id), options_.layout);
      } catch (const bad_input&) {
        if (options_.unlink)
          segment->unlink();
        throw;
      }
      sink.offer(std::move(frame), [desk, segment](const verdict& v) { desk->post({segment, v}); });
      return true;
    } catch (const no_such_segment&) {
      return true;
    } catch (const bad_input& e) {
      report(name, e.what(), sink);
      return true;
    } catch (const std::runtime_error& e) {
      spdlog::error("shm: {} could not be taken, and is tried again: {}", name, e.what());
      return false;
    }
  }

  /// Sets a segment aside once for each content.
  void report(const std::string& name, const std::string& reason, keyframe_sink& sink) {
    auto& t = taken_[name];
    segment_identity now;
    try {
      if (auto file = open_segment(name); file.valid())
        now = identify_segment(file);
    } catch (const std::runtime_error&) {
      now.inode = 0; // no plain segment: known by its name alone
    }
    if (t.reported && t.what.same_content(now))
      return;
    t.what = now;
    t.reported = true;
    sink.set_aside(kind(), name, reason);
  }

  void settle(verdict_desk& desk, const std::stop_token& stop) {
    for (const auto& [segment, v] : desk.take()) {
      if (v.what == outcome::refused && stop.stop_requested())
        continue;
      if (v.what == outcome::refused && !segment->torn().empty()) {
        // Written to while it was read: what it holds now is another keyframe.
        taken_[segment->name()].what = {};
        note(segment->name(), false);
      } else if (options_.unlink) {
        segment->unlink();
      }
    }
  }

  std::string prefix_;
  source_options options_;
  std::map<std::string, candidate> waiting_;
  std::map<std::string, taken> taken_;
  std::deque<std::string> gone_;
  uint64_t next_order_ = 0;
};

} // namespace

std::unique_ptr<source> make_shm_watch(const std::string& prefix, const source_options& options) {
  return std::make_unique<shm_watch>(prefix, options);
}

} // namespace tessera
