#include "net/sources/shm/shm_watch.hpp"

#include "net/base/backoff.hpp"
#include "net/base/bell.hpp"
#include "net/base/shortage.hpp"
#include "net/base/utf8.hpp"
#include "net/clients/cpp/producer.hpp"
#include "net/sources/shm/abandoned_segments.hpp"
#include "net/sources/shm/segment_agenda.hpp"
#include "net/sources/shm/segment_crew.hpp"
#include "net/sources/shm/segment_folder.hpp"
#include "net/sources/shm/segment_keyframe.hpp"
#include "net/sources/shm/segment_name.hpp"

#include <spdlog/spdlog.h>

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <tuple>
#include <unordered_map>

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

/// What the sink's threads and those that clear segments away have for ours.
class verdict_desk {
public:
  struct entry {
    std::shared_ptr<shm_segment> segment;
    uint64_t digest = 0;
    bool plain = false; // it was offered under its name alone
    verdict what;
  };
  /// What has come since it was looked at last.
  struct post_box {
    std::vector<entry> verdicts;
    std::vector<std::string> kept; // names that something else has by now than what was read
  };
  void post(entry e) {
    {
      std::lock_guard lock(mutex_);
      box_.verdicts.push_back(std::move(e));
    }
    ring.ring();
  }
  void keep(const std::string& name) {
    {
      std::lock_guard lock(mutex_);
      box_.kept.push_back(name);
    }
    ring.ring();
  }
  post_box take() {
    ring.quiet();
    std::lock_guard lock(mutex_);
    return std::exchange(box_, {});
  }

  bell ring;

private:
  std::mutex mutex_;
  post_box box_;
};

class shm_watch final : public source {
public:
  shm_watch(const std::string& prefix, const shm_options& options, const segment_options& segments, shortage_listener on_shortage)
    : prefix_(prefix.starts_with('/') ? prefix : "/" + prefix), options_(options), segments_(segments),
      on_shortage_(std::move(on_shortage)) {
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
    agenda_ = {};
    ahead_.clear();
    const struct dismiss {
      std::optional<segment_crew>& crew;
      ~dismiss() { crew.reset(); } // what is to go has gone then
    } at_the_end{crew_};
    crew_.emplace(segments_.readers, [desk] { desk->ring.ring(); });
    std::stop_callback wake(stop, [desk] { desk->ring.ring(); });
    clear();
    look_around(folder);
    while (!stop.stop_requested()) {
      bool whole = folder.read([&](std::string_view file, uint32_t mask) { on_event(file, mask); });
      if (!whole)
        look_around(folder); // many segments at once: some events were lost
      if (clear_at_ && steady::now() >= *clear_at_)
        clear();
      settle(stop);
      if (stop.stop_requested())
        break; // its ring may be quiet already: settle() has heard it
      if (go_on(sink))
        continue;
      pollfd files[2] = {{folder.fd(), POLLIN, 0}, {desk->ring.fd(), POLLIN, 0}};
      ::poll(files, 2, milliseconds_to_sleep());
    }
    settle(stop);
  }

private:
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
  /// A segment that is being read, or has been and is not offered yet.
  struct read_ahead {
    std::string name;
    segment_candidate what;
    std::shared_ptr<segment_reading> reading;
    bool gone = false; // its name
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
      agenda_.erase(name);
      forget(name);
      if (auto* one = find_ahead(name))
        one->gone = true;
    } else if (mask & IN_ATTRIB) { // what could not be read may be readable now
      agenda_.hurry(name);
    } else if (mask & IN_MOVED_TO) {
      agenda_.note(name, true);
    } else if (mask & IN_CLOSE_WRITE) {
      // Its writer may have let go of what it renamed; or another wrote through a mapping. Only the content tells.
      agenda_.note(name, true).written = true;
    } else {
      agenda_.note(name, false);
    }
  }

  [[nodiscard]] read_ahead* find_ahead(const std::string& name) {
    const auto found = std::find_if(ahead_.begin(), ahead_.end(), [&](const auto& one) { return one.name == name; });
    return found == ahead_.end() ? nullptr : &*found;
  }

  /// When a segment that cannot be taken now is tried again.
  steady::time_point after_a_pause(const std::string& name) {
    auto& pause = taken_[name].pause;
    if (!pause)
      pause.emplace(first_pause, longest_pause);
    return steady::now() + pause->next();
  }

  /// Something is short, most likely for the others, too: none is tried for a while. Says so once, until one is taken again.
  void pause_all(const std::string& name, const std::string& why) {
    hold_until_ = steady::now() + hold_.next();
    if (waits_++ == 0)
      spdlog::warn("shm: segment {} cannot be taken now; it stays where it is, and is tried again: {}", printable(name, 300),
                   why);
    // What was read ahead would be old by then, and is memory.
    crew_->leave_all();
    for (const auto& one : ahead_)
      agenda_.put_back(one.name, one.what, {});
    ahead_.clear();
  }

  [[nodiscard]] int milliseconds_to_sleep() const {
    auto next = clear_at_;
    const auto now = steady::now();
    // While something is being read, its end is what is waited for.
    if (const auto due = agenda_.next_due(); due && (ahead_.empty() || *due > now)) {
      const auto look = std::max(*due, hold_until_);
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
      if (agenda_.find(name) == nullptr)
        agenda_.note(name, false);
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

  /// Begins to read what is due, and offers what has been read, in their order. Returns false if there is nothing to do but to
  /// wait.
  bool go_on(keyframe_sink& sink) {
    // Who reads alone reads nothing ahead.
    const size_t most_ahead = std::max(segments_.readers, 1u);
    while (ahead_.size() < most_ahead && steady::now() >= hold_until_) {
      const auto* name = agenda_.first(steady::now());
      if (name == nullptr || find_ahead(*name) != nullptr) // one after another of the same name
        break;
      auto [taken_out, what] = agenda_.take_first();
      attempt(sink, taken_out, what, [&] { begin(taken_out, what); });
    }
    if (ahead_.empty())
      return agenda_.first(steady::now()) != nullptr && steady::now() >= hold_until_;
    while (!ahead_.front().reading->done())
      if (!crew_->help())
        return false;
    auto one = std::move(ahead_.front());
    ahead_.pop_front();
    attempt(sink, one.name, one.what, [&] { offer(one, sink); });
    return true;
  }

  /// Does something with a segment that is not on the agenda any more, and puts it back there if it must be tried again.
  template <class F>
  void attempt(keyframe_sink& sink, const std::string& name, segment_candidate& c, F work) {
    try {
      return work();
    } catch (const no_such_segment&) {
      return;
    } catch (const segment_torn&) { // it is read again as soon as it holds still
      c.closed = false;
      c.since = steady::now();
      return agenda_.put_back(name, c, c.since + recheck);
    } catch (const bad_input& e) {
      return report(name, e.what(), sink);
    } catch (const no_permission& e) {
      report(name, e.what(), sink);
    } catch (const std::exception& e) {
      pause_all(name, text_of(e));
      if (on_shortage_ && is_shortage(e))
        on_shortage_("segment " + printable(name, 300) + ": " + text_of(e));
    }
    agenda_.put_back(name, c, after_a_pause(name));
  }

  /// Looks at a segment, and begins to read it if it is whole by now and not what was taken before.
  void begin(const std::string& name, segment_candidate& c) {
    auto key = checked_segment_name(name, prefix_);
    auto file = open_segment(key);
    if (!file.valid())
      return;
    auto& before = taken_[name];
    // Mostly it is new and whole: then what it holds is not looked at twice.
    const bool fresh = before.what.inode == 0 && c.closed && !c.last;
    const auto now = fresh ? state_of_segment(file) : identify_segment(file);
    if (before.what.inode != 0 && now.same_content(before.what)
        && !(c.written && shm_segment(key).content_digest() != before.digest))
      return; // touched, not changed
    if (c.last && !now.same_content(*c.last)) {
      c.since = steady::now();
      c.closed = false;
    }
    if (!fresh)
      c.last = now;
    const auto age = steady::now() - c.since;
    const auto look_again = [&] { agenda_.put_back(name, c, steady::now() + recheck); };
    try {
      (void)read_segment_header(file);
    } catch (const bad_input&) {
      // Perhaps it is not written yet; a writer may also let go of the file and still write through its
      // mapping.
      c.closed = false;
      if (age < patience)
        return look_again();
      if (now.bytes == 0)
        return;
      throw;
    }
    c.closed = c.closed && now.whole;
    if (!c.closed && (age < std::chrono::milliseconds(options_.settle_ms) || (!now.whole && age < patience)))
      return look_again();
    ahead_.push_back({name, c, {}, false});
    try {
      ahead_.back().reading
        = crew_->begin(std::make_shared<shm_segment>(std::move(key), std::move(file), segments_.memory.get()));
    } catch (...) {
      ahead_.pop_back();
      throw;
    }
  }

  void offer(const read_ahead& one, keyframe_sink& sink) {
    const auto& segment = one.reading->result();
    const auto& name = one.name;
    auto& before = taken_[name];
    auto id = id_of_segment(name, prefix_);
    const auto digest = segment->content_digest();
    const bool plain = digest == before.first_digest.value_or(digest);
    if (!plain)
      id.value = id_with_digest(id.value, digest);
    const auto note = [&] {
      before.what = segment->identity();
      before.digest = digest;
      before.reported = false;
      if (one.gone)
        forget(name);
    };
    keyframe frame;
    try {
      check_keyframe_id(id);
      frame = keyframe_of_segment(segment, std::move(id), segments_.layout);
    } catch (const bad_input&) {
      note();
      let_go(segment);
      throw;
    }
    frame.source = kind();
    sink.offer(std::move(frame), [desk = desk_, segment, digest, plain](const verdict& v) {
      desk->post({segment, digest, plain, v});
    });
    note(); // only now: what could not be offered comes again
    if (plain)
      before.first_digest = digest;
  }

  /// A segment is done with: its name goes, if so set, and its memory.
  void let_go(const std::shared_ptr<shm_segment>& segment) {
    crew_->clear_away([desk = desk_, segment, unlink = options_.unlink] {
      try {
        if (unlink && !segment->unlink())
          desk->keep(segment->name());
        segment->let_go();
      } catch (const std::exception& e) {
        spdlog::error("shm: segment {} stays where it is: {}", printable(segment->name(), 300), text_of(e));
      }
    });
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

  /// Acts on the verdicts that have come in, and on the names that stayed.
  void settle(const std::stop_token& stop) {
    const auto [verdicts, kept] = desk_->take();
    for (const auto& name : kept) { // what lies there now is a later keyframe, of which there may be no other trace
      auto* known = agenda_.find(name);
      (known != nullptr ? *known : agenda_.note(name, false)).written = true;
    }
    for (const auto& [segment, digest, plain, v] : verdicts) {
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
        agenda_.note(name, false);
        if (!torn) { // one that was written to while it was read is read again as soon as it holds still
          pause_all(name, v.reason);
          agenda_.put_off(name, after_a_pause(name));
        }
        continue;
      }
      t.pause.reset();
      hold_.reset();
      if (auto tries = std::exchange(waits_, 0); tries > 0)
        spdlog::info("shm: segments are taken again, after {} tries in vain", tries);
      let_go(segment);
    }
  }

  std::string prefix_;
  shm_options options_;
  segment_options segments_;
  shortage_listener on_shortage_;
  std::shared_ptr<verdict_desk> desk_;
  std::optional<segment_crew> crew_;
  segment_agenda agenda_;
  std::deque<read_ahead> ahead_; // in the order in which they are offered
  std::unordered_map<std::string, taken> taken_;
  std::deque<std::string> gone_;
  std::optional<steady::time_point> clear_at_;
  uint64_t next_order_ = 0;
  backoff hold_{first_pause, longest_pause};
  steady::time_point hold_until_;
  uint64_t waits_ = 0; // tries that had to be put off since a segment was taken
};

} // namespace

std::unique_ptr<source> make_shm_watch(const std::string& prefix, const shm_options& options, const segment_options& segments,
                                       shortage_listener on_shortage) {
  return std::make_unique<shm_watch>(prefix, options, segments, std::move(on_shortage));
}

} // namespace tessera
