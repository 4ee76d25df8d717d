#include "net/sources/amqp/amqp_deliveries.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <deque>
#include <exception>
#include <iterator>
#include <utility>

namespace tessera {

namespace {

using steady = errand::clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// How long a segment may be missing, or be written to, before its message is set aside.
constexpr auto doubt_limit = seconds(6);
/// How long it may be so also when many others wait for theirs: a producer may announce a whole burst before it writes.
constexpr auto sure_doubt = seconds(2);
/// The broker takes a message back, and the whole channel with it, that is not acknowledged for its consumer_timeout, which is 30
/// minutes unless set otherwise: so it gets it back before, and gives it again.
constexpr auto keep_limit = std::chrono::minutes(10);
/// What hinders for so long is told to whoever asks whether we are ready.
constexpr auto passing = seconds(1);
/// The same trouble is logged again after so long.
constexpr auto silence = seconds(30);

/// Pauses between the tries of one errand: doubled each time.
milliseconds pause_after(unsigned tries, obstacle why) {
  const auto [first, most]
    = why == obstacle::doubt ? std::pair{milliseconds(20), milliseconds(500)} : std::pair{milliseconds(200), milliseconds(5000)};
  return std::min(first * (1 << std::min(tries, 10u)), most);
}

} // namespace

amqp_deliveries::amqp_deliveries(const amqp_options& options, const segment_options& segments,
                                 const shortage_listener& on_shortage, keyframe_sink& sink, std::stop_token stop,
                                 const std::shared_ptr<errand_desk>& desk)
  : options_(options), sink_(sink), stop_(std::move(stop)), desk_(desk), reader_(options, segments, on_shortage, sink, desk) {}

void amqp_deliveries::use(amqp_link& link) {
  link_ = &link;
  ++link_number_;
  backlog_ = 0;
}

void amqp_deliveries::lose_link() {
  link_ = nullptr;
  reader_.drop_all();
  held_.clear();
}

void amqp_deliveries::add(amqp_delivery message) {
  auto e = std::make_shared<errand>();
  e->link = link_number_;
  if (backlog_ > 0) {
    --backlog_;
    e->waited = true;
  }
  e->message = std::move(message);
  reader_.put(std::move(e));
}

void amqp_deliveries::act_on_results() {
  std::exception_ptr failure;
  for (auto& r : desk_->take()) {
    // A sink that closes takes nothing: that is no verdict. The stop comes before the closing, so it is known by now.
    const bool no_verdict = r.hindered != obstacle::none || r.said.what == outcome::not_now || r.said.what == outcome::refused;
    try {
      if (r.cleared) {
        --clearing_;
        answer(r);
      } else if (no_verdict && stop_.stop_requested())
        continue;
      else if (judge(r))
        finish(r);
      else
        keep(r);
    } catch (const amqp_error&) {
      failure = std::current_exception(); // the other segments still want to be unlinked
    }
  }
  try_again();
  if (failure)
    std::rethrow_exception(failure);
}

errand::clock::time_point amqp_deliveries::next_due(steady::time_point latest) const {
  for (const auto& h : held_)
    latest = std::min(latest, h.what->due);
  return latest;
}

std::string amqp_deliveries::trouble() const {
  // One bad segment does not keep the others from coming; a shortage does, and so do so many that nothing else has room.
  const bool full = held_.size() >= options_.prefetch;
  for (const auto& h : held_) {
    const auto waits = steady::now() - h.what->received;
    if ((full && waits > sure_doubt) || (h.hindered == obstacle::shortage && waits > passing))
      return std::to_string(held_.size()) + " messages wait to be tried again: " + h.said.reason;
  }
  return {};
}

void amqp_deliveries::finish_now() {
  reader_.clear_all();
  leaving_ = true;
  act_on_results();
}

/// Whether an errand is over; notes in the result what hinders it, if not.
bool amqp_deliveries::judge(errand_result& r) {
  auto& e = *r.what;
  if (r.hindered == obstacle::none && r.said.what != outcome::not_now)
    return true;
  if (r.hindered == obstacle::none)
    r.hindered = e.segment && !e.segment->torn().empty() ? obstacle::doubt : obstacle::shortage;
  if (r.hindered != obstacle::doubt) {
    e.in_doubt.reset();
    return false;
  }
  if (!e.in_doubt)
    e.in_doubt = steady::now();
  if (!e.last_try && steady::now() - *e.in_doubt < doubt_limit)
    return false;
  sink_.set_aside(amqp_kind, e.name(), r.said.reason);
  e.segment.reset(); // not ours to unlink: nobody knows what it holds
  r.said.what = outcome::refused;
  return true;
}

/// An errand is over: its segment goes, and its message.
///
/// The broker hears of it only when the segment is gone. If this process dies in between, the message comes again: another one
/// finds no segment, and says so. The other way round the segment would stay for ever: nobody would know of it any more.
void amqp_deliveries::finish(const errand_result& r) {
  const auto& e = r.what;
  const auto taken = r.said.what == outcome::accepted || r.said.what == outcome::duplicate || r.said.what == outcome::retracted;
  if (e->understood && e->note.what == notification::type::fresh && taken)
    desk_->remember(*e); // before its segment goes: see amqp_reader::work()
  if (e->understood && e->note.what == notification::type::retract && taken)
    desk_->forget(e->note.id);
  if (!e->segment)
    return answer(r);
  if (leaving_) { // nobody waits for anything else
    reader_.clear(*e);
    return answer(r);
  }
  ++clearing_;
  reader_.clear_away(r);
}

/// What is left of an errand whose segment is gone.
void amqp_deliveries::answer(const errand_result& r) {
  const auto& e = r.what;
  reader_.release(e);
  if (!came_by_this_link(*e))
    return;
  const bool bad = r.said.what == outcome::refused || r.said.what == outcome::conflict;
  if (bad && options_.dead_letter)
    link_->reject(e->message.tag, false);
  else
    link_->acknowledge(e->message.tag);
}

/// An errand is to be tried again, a little later.
void amqp_deliveries::keep(errand_result& r) {
  const auto& e = r.what;
  if (e->segment && !e->segment->mapped())
    e->segment.reset(); // so many copies may wait that they would be all our memory; it is read again
  if (!came_by_this_link(*e))
    return reader_.release(e); // the broker gives it again
  e->due = steady::now() + pause_after(e->tries, r.hindered);
  if (r.hindered != obstacle::doubt && steady::now() - told_ > silence) {
    spdlog::warn("amqp: {} stays with the broker, and is tried again: {}", e->name(), r.said.reason);
    told_ = steady::now();
  }
  held_.push_back(std::move(r));
  bound_doubt();
}

/// Segments that never come must not hold up others: no more than half of what may be under way waits for such, once they had
/// their time.
void amqp_deliveries::bound_doubt() {
  const auto now = steady::now();
  size_t doubtful = 0;
  errand* oldest = nullptr;
  for (const auto& h : held_)
    if (h.hindered == obstacle::doubt) {
      ++doubtful;
      if ((h.what->waited || now - *h.what->in_doubt >= sure_doubt)
          && (oldest == nullptr || *h.what->in_doubt < *oldest->in_doubt))
        oldest = h.what.get();
    }
  if (oldest != nullptr && doubtful > (options_.prefetch + 1u) / 2) {
    oldest->last_try = true;
    oldest->due = now;
  }
}

/// Gives the reader what is due, and the broker what has been here too long.
void amqp_deliveries::try_again() {
  const auto now = steady::now();
  auto due = std::stable_partition(held_.begin(), held_.end(), [&](const errand_result& h) { return h.what->due > now; });
  std::vector<errand_result> ready(std::make_move_iterator(due), std::make_move_iterator(held_.end()));
  held_.erase(due, held_.end());
  for (const auto& r : ready) {
    if (!r.what->spent && now - r.what->received < keep_limit) {
      reader_.put(r.what);
      continue;
    }
    const auto behind = reader_.take_behind(*r.what);
    reader_.release(r.what);
    link_->reject(r.what->message.tag, true);
    for (const auto& e : behind)
      link_->reject(e->message.tag, true);
  }
}

} // namespace tessera
