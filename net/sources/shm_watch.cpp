#include "net/sources/shm_watch.hpp"

#include "net/producer.hpp"
#include "net/sources/abandoned_segments.hpp"
#include "net/sources/backoff.hpp"
#include "net/sources/bell.hpp"
#include "net/sources/segment_keyframe.hpp"
#include "net/sources/segment_name.hpp"
#include "net/sources/shortage.hpp"
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
/// What cannot be taken now is tried again after so long, and after twice as long each time, up to the second.
constexpr auto first_pause = std::chrono::milliseconds(200), longest_pause = std::chrono::milliseconds(5000);
/// A producer that lets go of a file that it was writing has renamed it by then, or is gone.
constexpr auto grace = std::chrono::seconds(1);

/// A folder under inotify. Its descriptors are open from the start: what uses up the others later does not stop it.
class folder_watch {
public:
  folder_watch() : file_(inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
    constexpr uint32_t events = IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB;
    if (file_.valid())
      folder_.reset(opendir(shm_folder));
    if (folder_ && inotify_add_watch(file_.get(), shm_folder, events | IN_ONLYDIR) >= 0)
      return;
    const auto error = errno;
    const auto text = std::string("cannot watch ") + shm_folder + ": " + std::strerror(error);
    if (is_shortage(error))
      throw shortage_error(text
                           + "; are descriptors left (ulimit -n), and are fs.inotify.max_user_instances and max_user_watches "
                             "large enough?");
    throw std::runtime_error(text + "; is it mounted?");
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

  /// Calls on_file(name, state) for each file that is there.
  template <class F>
  void list(F on_file) {
    rewinddir(folder_.get());
    while (const auto* entry = readdir(folder_.get())) {
      struct stat s {};
      if (fstatat(dirfd(folder_.get()), entry->d_name, &s, AT_SYMLINK_NOFOLLOW) == 0)
        on_file(std::string_view(entry->d_name), s);
    }
  }

private:
  struct closer {
    void operator()(DIR* d) const { closedir(d); }
  };
  descriptor file_;
  std::unique_ptr<DIR, closer> folder_;
};

/// Segments that a sink has given its verdict on, from its threads to ours.
class verdict_desk {
public:
  struct entry {
    std::shared_ptr<const shm_segment> segment;
    uint64_t digest = 0;
    bool plain = false; // it was offered under its name alone
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

class shm_watch final : public source {
public:
  shm_watch(const std::string& prefix, const source_options& options)
    : prefix_(prefix.starts_with('/') ? prefix : "/" + prefix), options_(options) {
    if (prefix_.find('/', 1) != std::string::npos || prefix_.find("..") != std::string::npos || prefix_.size() < 2
        || prefix_.size() > 200)
      throw std::invalid_argument("shared memory prefix is '" + printable(prefix_)
                                  + "', must be a slash and then one to 199 bytes without a slash or '..'");
  }

  [[nodiscard]] std::string kind() const override { return "shm"; }
  [[nodiscard]] std::string where() const override { return "shm:" + prefix_; }

  void run(keyframe_sink& sink, std::stop_token stop) override {
    // Kept if this ends for want of something, and is run again: verdicts are under way to it.
    if (!desk_)
      desk_ = std::make_shared<verdict_desk>();
    const auto desk = desk_;
    folder_watch folder; // before the first look: nothing falls between
    std::stop_callback wake(stop, [desk] { desk->ring.ring(); });
    clear();
    look_around(folder);
    while (!stop.stop_requested()) {
      bool whole = folder.read([&](std::string_view file, uint32_t mask) { on_event(file, mask); });
      if (!whole)
        look_around(folder); // many segments at once: some events were lost
      if (clear_at_ && steady::now() >= *clear_at_)
        clear();
      settle(*desk, stop);
      take_ready(sink, desk, stop);
      if (stop.stop_requested())
        return; // its ring may be quiet already: settle() has heard it
      pollfd files[2] = {{folder.fd(), POLLIN, 0}, {desk->ring.fd(), POLLIN, 0}};
      ::poll(files, 2, milliseconds_to_sleep());
    }
  }

private:
  /// A segment that may become a keyframe.
  struct candidate {
    bool closed = false;           // its writer let go of it
    bool written = false;          // perhaps through a mapping, which leaves no other trace
    steady::time_point since;      // when it was first seen or last changed
    steady::time_point not_before; // it could not be taken: when to try again
    uint64_t order = 0;
    std::optional<segment_identity> last;
  };
  /// A segment as it was taken or set aside.
  struct taken {
    segment_identity what;
    uint64_t digest = 0;          // of its content
    bool reported = false;        // set aside as it is
    std::optional<backoff> pause; // of one that cannot be taken now
    /// Digest of the first keyframe of this name, and whether it got its verdict.
    std::optional<uint64_t> first_digest;
    bool first_settled = false;
  };

  [[nodiscard]] bool ours(std::string_view file) const {
    auto prefix = std::string_view(prefix_).substr(1);
    return file.size() > prefix.size() && file.starts_with(prefix);
  }

  void on_event(std::string_view file, uint32_t mask) {
    if (mask & IN_CLOSE_WRITE && file.starts_with(producer::hidden_prefix) && !clear_at_)
      clear_at_ = steady::now() + grace;
    if (!ours(file))
      return;
    auto name = "/" + std::string(file);
    if (mask & (IN_DELETE | IN_MOVED_FROM)) {
      waiting_.erase(name);
      forget(name);
    } else if (mask & IN_ATTRIB) { // what could not be read may be readable now
      if (auto at = waiting_.find(name); at != waiting_.end())
        at->second.not_before = {};
    } else if (mask & IN_MOVED_TO) {
      note(name, true);
    } else if (mask & IN_CLOSE_WRITE) {
      // Its writer may have let go of what it renamed; or another wrote through a mapping. Only the content tells.
      note(name, true).written = true;
    } else {
      note(name, false);
    }
  }

  /// The segment is new or has changed, and is looked at from now on.
  candidate& note(const std::string& name, bool closed) {
    auto [at, fresh] = waiting_.try_emplace(name);
    auto& c = at->second;
    if (fresh)
      c.order = next_order_++;
    c.closed = closed;
    c.since = steady::now();
    c.not_before = {};
    return c;
  }

  /// The segment cannot be taken now, and is tried again after a pause.
  void put_off(const std::string& name, candidate& c) {
    auto& pause = taken_[name].pause;
    if (!pause)
      pause.emplace(first_pause, longest_pause);
    c.not_before = steady::now() + pause->next();
  }

  /// Something is short, most likely for the others, too: none is tried for a while. Says so once, until one is taken again.
  void pause_all(const std::string& name, const std::string& why) {
    hold_until_ = steady::now() + hold_.next();
    if (waits_++ == 0)
      spdlog::warn("shm: segment {} cannot be taken now; it stays where it is, and is tried again: {}", printable(name, 300),
                   why);
  }

  [[nodiscard]] int milliseconds_to_sleep() const {
    std::optional<steady::time_point> next = clear_at_;
    auto now = steady::now();
    for (const auto& [name, c] : waiting_) {
      auto look = std::max({c.not_before, hold_until_, now + recheck});
      next = next ? std::min(*next, look) : look;
    }
    if (!next)
      return -1;
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(std::max(*next - now, steady::duration{})).count());
  }

  void clear() {
    clear_at_.reset();
    remove_abandoned_segments();
  }

  void look_around(folder_watch& folder) {
    std::vector<std::pair<timespec, std::string>> found;
    folder.list([&](std::string_view file, const struct stat& s) {
      if (ours(file))
        found.emplace_back(s.st_mtim, "/" + std::string(file));
    });
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
    auto now = steady::now();
    for (const auto& [name, c] : waiting_)
      if (c.not_before <= now)
        names.emplace_back(c.order, name);
    std::sort(names.begin(), names.end());
    for (const auto& [order, name] : names) {
      settle(*desk, stop);
      if (stop.stop_requested() || steady::now() < hold_until_)
        return;
      if (decide(name, waiting_.at(name), sink, desk))
        waiting_.erase(name);
    }
  }

  /// Returns false if it must be looked at again.
  bool decide(const std::string& name, candidate& c, keyframe_sink& sink, const std::shared_ptr<verdict_desk>& desk) {
    try {
      return take(name, c, sink, desk);
    } catch (const no_such_segment&) {
      return true;
    } catch (const bad_input& e) {
      report(name, e.what(), sink);
      return true;
    } catch (const no_permission& e) {
      report(name, e.what(), sink);
    } catch (const std::exception& e) {
      pause_all(name, text_of(e));
      if (options_.on_shortage && is_shortage(e))
        options_.on_shortage("segment " + printable(name, 300) + ": " + text_of(e));
    }
    put_off(name, c);
    return false;
  }

  bool take(const std::string& name, candidate& c, keyframe_sink& sink, const std::shared_ptr<verdict_desk>& desk) {
    auto key = checked_segment_name(name, prefix_);
    auto file = open_segment(key);
    if (!file.valid())
      return true;
    auto now = identify_segment(file);
    auto& before = taken_[name];
    if (before.what.inode != 0 && now.same_content(before.what)
        && !(c.written && shm_segment(key).content_digest() != before.digest))
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
    auto id = id_of_segment(name, prefix_);
    auto digest = segment->content_digest();
    const bool plain = digest == before.first_digest.value_or(digest);
    if (!plain)
      id.value = id_with_digest(id.value, digest);
    keyframe frame;
    try {
      check_keyframe_id(id);
      frame = keyframe_of_segment(segment, std::move(id), options_.layout);
    } catch (const bad_input&) {
      before.what = segment->identity();
      before.digest = digest;
      before.reported = false;
      if (options_.unlink)
        segment->unlink();
      throw;
    }
    frame.source = kind();
    sink.offer(std::move(frame), [desk, segment, digest, plain](const verdict& v) { desk->post({segment, digest, plain, v}); });
    before.what = segment->identity(); // only now: what could not be offered comes again
    before.digest = digest;
    before.reported = false;
    if (plain)
      before.first_digest = digest;
    return true;
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

  /// Acts on the verdicts that have come in.
  void settle(verdict_desk& desk, const std::stop_token& stop) {
    for (const auto& [segment, digest, plain, v] : desk.take()) {
      const bool taken_in = v.what != outcome::refused && v.what != outcome::not_now;
      if (!taken_in && stop.stop_requested())
        continue; // a sink that closes says nothing about the keyframe
      const auto& name = segment->name();
      auto& t = taken_[name];
      // Nothing of that content is in the map: what comes next may be the first of its name.
      if (plain && taken_in)
        t.first_digest = digest, t.first_settled = true;
      else if (plain && t.first_digest == digest && !t.first_settled)
        t.first_digest.reset();
      const bool torn = !taken_in && !segment->torn().empty();
      if (torn || v.what == outcome::not_now) {
        t.what = {};
        auto& c = note(name, false);
        if (!torn) { // one that was written to while it was read is read again as soon as it holds still
          pause_all(name, v.reason);
          put_off(name, c);
        }
        continue;
      }
      t.pause.reset();
      hold_.reset();
      if (auto tries = std::exchange(waits_, 0); tries > 0)
        spdlog::info("shm: segments are taken again, after {} tries in vain", tries);
      if (options_.unlink && !segment->unlink())
        note(name, false); // what lies there now is a later keyframe
    }
  }

  std::string prefix_;
  source_options options_;
  std::shared_ptr<verdict_desk> desk_;
  std::map<std::string, candidate> waiting_;
  std::map<std::string, taken> taken_;
  std::deque<std::string> gone_;
  std::optional<steady::time_point> clear_at_;
  uint64_t next_order_ = 0;
  backoff hold_{first_pause, longest_pause};
  steady::time_point hold_until_;
  uint64_t waits_ = 0; // tries that had to be put off since a segment was taken
};

} // namespace

std::unique_ptr<source> make_shm_watch(const std::string& prefix, const source_options& options) {
  return std::make_unique<shm_watch>(prefix, options);
}

} // namespace tessera
