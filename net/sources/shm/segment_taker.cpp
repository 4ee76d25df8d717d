#include "net/sources/shm/segment_taker.hpp"

#include "net/base/utf8.hpp"
#include "net/sources/shm/segment_keyframe.hpp"
#include "net/sources/shm/segment_name.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

namespace tessera {

namespace {

using steady = segment_taker::clock;

constexpr auto recheck = std::chrono::milliseconds(20);
/// What cannot be taken now is tried again after so long, and after twice as long each time, up to the second.
constexpr auto first_pause = std::chrono::milliseconds(200), longest_pause = std::chrono::milliseconds(5000);

} // namespace

segment_taker::segment_taker(std::string prefix, const shm_options& options, const segment_options& segments,
                             shortage_listener on_shortage)
  : prefix_(std::move(prefix)), options_(options), segments_(segments), on_shortage_(std::move(on_shortage)),
    hold_(first_pause, longest_pause) {}

void segment_taker::start(keyframe_sink& sink) {
  sink_ = &sink;
  agenda_ = {};
  ahead_.clear();
  crew_.emplace(segments_.readers, [desk = desk_] { desk->ring.ring(); });
}

void segment_taker::forget(const std::string& name) {
  agenda_.erase(name);
  history_.forget(name);
  if (auto* one = find_ahead(name))
    one->gone = true;
}

bool segment_taker::go_on() {
  // Who reads alone reads nothing ahead.
  const size_t most_ahead = std::max(segments_.readers, 1u);
  while (ahead_.size() < most_ahead && steady::now() >= hold_until_) {
    const auto* name = agenda_.first(steady::now());
    if (name == nullptr || find_ahead(*name) != nullptr) // one after another of the same name
      break;
    auto [taken_out, what] = agenda_.take_first();
    attempt(taken_out, what, [&] { begin(taken_out, what); });
  }
  if (ahead_.empty())
    return agenda_.first(steady::now()) != nullptr && steady::now() >= hold_until_;
  while (!ahead_.front().reading->done())
    if (!crew_->help())
      return false;
  auto one = std::move(ahead_.front());
  ahead_.pop_front();
  attempt(one.name, one.what, [&] { offer(one); });
  return true;
}

void segment_taker::act_on_verdicts(const std::stop_token& stop) {
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
    auto& t = history_[name];
    if (plain && v.what == outcome::conflict) {
      // Its name had another first keyframe, which is in the map since before this watch.
      segment_candidate again;
      attempt(name, again, [&, segment = segment, digest = digest] { offer_as(segment, digest, false); });
      continue;
    }
    // Nothing of that content is in the map: what comes next may be the first of its name.
    if (plain && taken_in)
      t.first_digest = digest, t.first_judged = true;
    else if (plain && t.first_digest == digest && !t.first_judged)
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

std::optional<segment_taker::clock::time_point> segment_taker::next_due() const {
  const auto due = agenda_.next_due();
  // While something is being read, its end is what is waited for.
  if (!due || (!ahead_.empty() && *due <= steady::now()))
    return std::nullopt;
  return std::max(*due, hold_until_);
}

segment_taker::read_ahead* segment_taker::find_ahead(const std::string& name) {
  const auto found = std::find_if(ahead_.begin(), ahead_.end(), [&](const auto& one) { return one.name == name; });
  return found == ahead_.end() ? nullptr : &*found;
}

/// Does something with a segment that is not on the agenda any more, and puts it back there if it must be tried again.
template <class F>
void segment_taker::attempt(const std::string& name, segment_candidate& c, F work) {
  const auto when_it_holds_still = [&] {
    c.closed = false;
    c.since = steady::now();
    agenda_.put_back(name, c, c.since + recheck);
  };
  try {
    return work();
  } catch (const no_such_segment&) {
    return;
  } catch (const segment_torn&) {
    return when_it_holds_still();
  } catch (const segment_unsettled&) {
    return when_it_holds_still();
  } catch (const bad_input& e) {
    return report(name, e.what());
  } catch (const no_permission& e) {
    report(name, e.what());
  } catch (const std::exception& e) {
    pause_all(name, text_of(e));
    if (on_shortage_)
      on_shortage_("segment " + printable(name, 300) + ": " + text_of(e));
  }
  agenda_.put_back(name, c, after_a_pause(name));
}

/// Looks at a segment, and begins to read it if it is whole by now and not what was taken before.
void segment_taker::begin(const std::string& name, segment_candidate& c) {
  auto key = checked_segment_name(name, prefix_);
  auto file = open_segment(key);
  if (!file.valid())
    return;
  auto& before = history_[name];
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
  const std::chrono::milliseconds settle(options_.settle_ms), patience(options_.patience_ms);
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
  if (!c.closed && (age < settle || (!now.whole && age < patience)))
    return look_again();
  ahead_.push_back({name, c, {}, false});
  try {
    ahead_.back().reading = crew_->begin(std::make_shared<shm_segment>(std::move(key), std::move(file), segments_.memory.get()));
  } catch (...) {
    ahead_.pop_back();
    throw;
  }
}

/// Offers the keyframe of a segment that has been read.
void segment_taker::offer(const read_ahead& one) {
  const auto& segment = one.reading->result();
  auto& before = history_[one.name];
  const auto digest = segment->content_digest();
  const bool plain = digest == before.first_digest.value_or(digest);
  const auto note = [&] {
    before.what = segment->identity();
    before.digest = digest;
    before.reported = false;
    if (one.gone)
      history_.forget(one.name);
  };
  try {
    offer_as(segment, digest, plain);
  } catch (const bad_input&) {
    note();
    throw;
  }
  note(); // only now: what could not be offered comes again
  if (plain)
    before.first_digest = digest;
}

/// Offers it under its name alone, or as another keyframe than the first of that name. Throws bad_input when it is done with.
void segment_taker::offer_as(const std::shared_ptr<shm_segment>& segment, uint64_t digest, bool plain) {
  auto id = id_of_segment(segment->name(), prefix_);
  if (!plain)
    id.value = id_with_digest(id.value, digest);
  keyframe frame;
  try {
    check_keyframe_id(id);
    frame = keyframe_of_segment(segment, std::move(id), segments_.layout);
  } catch (const bad_input&) {
    let_go(segment);
    throw;
  }
  frame.source = shm_kind;
  sink_->offer(std::move(frame), [desk = desk_, segment, digest, plain](const verdict& v) {
    desk->post({segment, digest, plain, v});
  });
}

/// A segment is done with: its name goes, if so set, and its memory.
void segment_taker::let_go(const std::shared_ptr<shm_segment>& segment) {
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
void segment_taker::report(const std::string& name, const std::string& reason) {
  auto& t = history_[name];
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
  sink_->set_aside(shm_kind, name, reason);
}

/// Something is short, most likely for the others, too: none is tried for a while. Says so once, until one is taken again.
void segment_taker::pause_all(const std::string& name, const std::string& why) {
  hold_until_ = steady::now() + hold_.next();
  if (waits_++ == 0)
    spdlog::warn("shm: segment {} cannot be taken now; it stays where it is, and is tried again: {}", printable(name, 300), why);
  // What was read ahead would be old by then, and is memory.
  crew_->leave_all();
  for (const auto& one : ahead_)
    agenda_.put_back(one.name, one.what, {});
  ahead_.clear();
}

/// When a segment that cannot be taken now is tried again.
segment_taker::clock::time_point segment_taker::after_a_pause(const std::string& name) {
  auto& pause = history_[name].pause;
  if (!pause)
    pause.emplace(first_pause, longest_pause);
  return steady::now() + pause->next();
}

} // namespace tessera
