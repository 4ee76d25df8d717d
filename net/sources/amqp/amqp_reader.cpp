#include "net/sources/amqp/amqp_reader.hpp"

#include "net/base/bad_input.hpp"
#include "net/base/ignoring_case.hpp"
#include "net/base/not_now_error.hpp"
#include "net/base/pace.hpp"
#include "net/base/utf8.hpp"
#include "net/sources/shm/segment_keyframe.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <new>
#include <string_view>
#include <utility>

namespace tessera {

namespace {

/// So long after there was no memory even to say that there is none.
constexpr auto pause_without_memory = std::chrono::milliseconds(200);

/// The text of a header of the message; empty if there is none.
std::string header_text(const amqp_delivery& message, const char* name) {
  for (const auto& header : message.headers)
    if (header.name == name) {
      if (!header.text)
        throw bad_input("the header " + header.name + " is no text");
      return *header.text;
    }
  return {};
}

/// Codings under which a body is as it was written; libraries name them by themselves.
bool is_no_coding(std::string_view content_encoding) {
  constexpr std::array<std::string_view, 5> none{"", "identity", "binary", "8bit", "utf-8"};
  return std::any_of(none.begin(), none.end(), [&](auto one) { return equal_ignoring_case(content_encoding, one); });
}

} // namespace

amqp_reader::amqp_reader(const amqp_options& options, const segment_options& segments, shortage_listener on_shortage,
                         keyframe_sink& sink, std::shared_ptr<errand_desk> desk)
  : options_(options), segments_(segments), on_shortage_(std::move(on_shortage)), sink_(sink), desk_(std::move(desk)),
    crew_(segments.readers, [] {}), thread_([this](const std::stop_token& stop) {
      while (auto e = queue_.take(stop))
        while (!attempted(e) && sleep_unless(stop, errand::clock::now() + pause_without_memory))
          ;
    }) {}

void amqp_reader::release(const errand_ptr& e) {
  if (!e->understood)
    return;
  for (auto& next : lanes_.leave(e))
    queue_.put(std::move(next));
}

std::deque<errand_ptr> amqp_reader::take_behind(const errand& e) {
  return e.understood ? lanes_.clear(e.note.id) : std::deque<errand_ptr>{};
}

void amqp_reader::drop_all() {
  queue_.take_all();
  lanes_.clear();
}

void amqp_reader::clear(errand& e) const {
  if (options_.unlink)
    e.segment->unlink();
  e.segment->let_go();
  e.segment.reset();
}

void amqp_reader::clear_away(const errand_result& r) {
  crew_.clear_away([this, r] {
    try {
      clear(*r.what);
      auto over = r;
      over.cleared = true;
      desk_->post(std::move(over));
    } catch (const std::exception& err) {
      desk_->fail(text_of(err));
    }
  });
}

/// Tries an errand; false if there was no memory for what came of it.
bool amqp_reader::attempted(const errand_ptr& e) {
  try {
    work(e);
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

/// Tries an errand: reads its message, and hands what it brings to the sink. Throws std::bad_alloc; then it was not tried.
void amqp_reader::work(const errand_ptr& e) {
  const auto hindered = [&](obstacle by, std::string why) { desk_->post({e, {outcome::not_now, std::move(why)}, by}); };
  const auto is_short = [&](const std::exception& err) {
    if (on_shortage_)
      on_shortage_(e->name() + ": " + text_of(err));
    hindered(obstacle::shortage, text_of(err));
  };
  std::optional<keyframe> frame;
  try {
    if (!e->understood) {
      understand(*e);
      e->understood = true;
      if (!lanes_.enter(e))
        return;
    }
    ++e->tries;
    if (e->note.what == notification::type::fresh)
      frame = open(*e);
  } catch (const no_such_segment& err) {
    // The same message twice (the acknowledgement was lost, or the producer repeats itself): its keyframe is in the map, and
    // its segment is gone. Another message of the same id is not that: it tells of something that should be there.
    if (desk_->remembers(*e)) {
      spdlog::info("amqp: {} was taken before, and its segment is gone", e->name());
      return desk_->post({e, {outcome::duplicate, {}}});
    }
    return hindered(obstacle::doubt, err.what());
  } catch (const segment_unsettled& err) { // from now on it has its time again
    e->in_doubt.reset();
    e->last_try = false;
    return hindered(obstacle::doubt, err.what());
  } catch (const segment_torn& err) {
    return hindered(obstacle::doubt, err.what());
  } catch (const bad_input& err) {
    sink_.set_aside(amqp_kind, e->name(), err.what());
    return desk_->post({e, {outcome::refused, err.what()}});
  } catch (const no_permission& err) {
    if (!std::exchange(e->told, true))
      sink_.set_aside(amqp_kind, e->name(), err.what());
    return hindered(obstacle::permission, err.what());
  } catch (const std::exception& err) {
    return is_short(err);
  }
  try {
    hand_over(e, std::move(frame));
  } catch (const std::exception& err) {
    if (is_shortage(err))
      return is_short(err);
    desk_->fail(err.what());
  }
}

/// Reads what a message says. Throws bad_input.
void amqp_reader::understand(errand& e) const {
  auto& m = e.message;
  if (!is_no_coding(m.content_encoding))
    throw bad_input("content_encoding is '" + printable(m.content_encoding)
                    + "', and none is understood: publish the body as it is");
  if (is_content_type(m.content_type, keyframe_content_type)) {
    if (m.body_bytes > max_keyframe_bytes)
      throw bad_input("the message has " + std::to_string(m.body_bytes) + " bytes, at most " + std::to_string(max_keyframe_bytes)
                      + " are taken");
    if (m.message_id.empty())
      throw bad_input("the message_id is missing: it is the keyframe's id");
    auto group = header_text(m, "group");
    check_group(group);
    e.note.id = {m.message_id, header_text(m, "session")};
    e.spent = true;
    e.whole = keyframe_of_message(std::move(m.body), e.note.id, segments_.layout);
    e.spent = false;
    e.whole->source = amqp_kind;
    e.whole->group = std::move(group);
    return;
  }
  if (!m.content_type.empty() && !is_content_type(m.content_type, "application/msgpack")
      && !is_content_type(m.content_type, "application/x-msgpack"))
    throw bad_input("content type is '" + printable(m.content_type) + "', must be application/msgpack or "
                    + keyframe_content_type);
  if (m.body_bytes > max_notification_bytes)
    throw bad_input("notification has " + std::to_string(m.body_bytes) + " bytes, at most "
                    + std::to_string(max_notification_bytes) + " are read");
  e.note = parse_notification(m.body, m.routing_key);
  e.mark = std::hash<std::string_view>{}({reinterpret_cast<const char*>(m.body.data()), m.body.size()});
  const auto& [value, session] = e.note.id;
  if (e.note.what == notification::type::fresh)
    e.segment_name = checked_segment_name(!e.note.shm_key.empty() ? e.note.shm_key
                                          : session.empty()       ? options_.shm_prefix + value
                                                                  : options_.shm_prefix + "~" + session + "~" + value,
                                          options_.shm_prefix);
}

/// The keyframe that a message brings or tells of. Throws what shm_segment throws.
keyframe amqp_reader::open(errand& e) {
  if (e.whole)
    return *e.whole;
  if (!e.segment || !e.segment->torn().empty()) {
    e.segment.reset();
    try {
      const auto segment = std::make_shared<shm_segment>(e.segment_name, segments_.memory.get());
      if (!segment->mapped()) // else who uses it reads it
        crew_.read(segment);
      e.segment = segment;
    } catch (const no_such_segment&) {
      throw;
    } catch (const bad_input&) {
      if (options_.unlink)
        discard_segment(e.segment_name);
      throw;
    }
  }
  try {
    auto frame = keyframe_of_segment(e.segment, e.note, segments_.layout);
    frame.source = amqp_kind;
    frame.group = e.note.group;
    return frame;
  } catch (const other_keyframe&) {
    e.segment.reset(); // not this message's to unlink
    throw;
  }
}

/// Throws what the sink throws; then it has nothing.
void amqp_reader::hand_over(const errand_ptr& e, std::optional<keyframe> frame) {
  const auto answer = std::make_shared<errand_desk::post_bag>(1);
  answer->front().what = e;
  keyframe_sink::completion done = [desk = desk_, answer](const verdict& v) {
    auto& said = answer->front().said;
    try {
      said = v;
    } catch (const std::bad_alloc&) {
      said.what = v.what; // without its words
    }
    desk->post(*answer);
    --desk->offered; // after it: who waits for the last one finds it
  };
  ++desk_->offered;
  try {
    give(*e, std::move(frame), std::move(done));
  } catch (...) {
    --desk_->offered;
    throw;
  }
}

void amqp_reader::give(const errand& e, std::optional<keyframe> frame, keyframe_sink::completion done) {
  switch (e.note.what) {
  case notification::type::fresh:
    return sink_.offer(std::move(*frame), std::move(done));
  case notification::type::revise:
    if (e.note.many)
      return sink_.correct(*e.note.many, std::move(done));
    return sink_.offer(revision{e.note.id, *e.note.world_from_camera, e.note.revision}, std::move(done));
  case notification::type::retract:
    return sink_.offer(retraction{e.note.id}, std::move(done));
  }
}

} // namespace tessera
