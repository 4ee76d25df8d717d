#include "net/commands/input_sinks.hpp"

#include <algorithm>

namespace tessera {

namespace {

const verdict closing{outcome::not_now, "the service is shutting down"};

} // namespace

bool gate_sink::wait_for_one() {
  std::unique_lock lock(mutex_);
  return changed_.wait(lock, stop_, [&] { return one_came_; });
}

void gate_sink::open(keyframe_sink& next) {
  {
    const std::lock_guard lock(mutex_);
    next_ = &next;
  }
  changed_.notify_all();
}

keyframe_sink* gate_sink::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, stop_, [&] { return next_ != nullptr; });
  return next_;
}

void gate_sink::offer(map_input what, completion done) {
  std::optional<verdict> answer;
  {
    const std::lock_guard lock(mutex_);
    if (next_ == nullptr && !one_came_) {
      const auto* frame = std::get_if<keyframe>(&what);
      if (!frame) // who takes a keyframe out, or moves one, must not wait for the first: it may stand behind them
        answer = {outcome::unknown, {}};
      else if (!stop_.stop_requested())
        one_came_ = !(answer = judge_(*frame));
    }
  }
  if (answer)
    return done(*answer);
  changed_.notify_all();
  if (auto* to = next())
    to->offer(std::move(what), std::move(done));
  else
    done(closing);
}

bool gate_sink::nothing_came() {
  const std::lock_guard lock(mutex_);
  return next_ == nullptr && !one_came_;
}

void gate_sink::retract_all(keyframe_selection which, completion done) {
  if (nothing_came())
    done({outcome::accepted, {}});
  else if (auto* to = next())
    to->retract_all(std::move(which), std::move(done));
  else
    done(closing);
}

void gate_sink::correct(correction what, completion done) {
  if (nothing_came()) {
    verdict none;
    none.left.unknown
      = static_cast<uint64_t>(std::ranges::count_if(what.entries, [](const correction_entry& one) { return one.group.empty(); }));
    done(none);
  } else if (auto* to = next()) {
    to->correct(std::move(what), std::move(done));
  } else {
    done(closing);
  }
}

void gate_sink::set_aside(const std::string& source, const std::string& what, const std::string& reason) {
  numbers_->set_aside.add(source, what, reason); // it must not wait for a good keyframe
}

void newest_sink::offer(map_input what, completion done) {
  if (const auto* frame = std::get_if<keyframe>(&what)) {
    std::vector<keyframe_id> old;
    {
      const std::lock_guard lock(kept_->mutex);
      auto& offered = kept_->offered;
      offered.push_back(frame->id);
      for (; offered.size() > keep_; offered.pop_front())
        old.push_back(std::move(offered.front()));
    }
    for (const auto& id : old)
      next_.offer(retraction{id}, [its = kept_, id](const verdict& v) {
        if (v.what != outcome::not_now)
          return;
        const std::lock_guard lock(its->mutex);
        its->offered.push_front(id); // it is the oldest with the next keyframe, too
      });
  }
  next_.offer(std::move(what), std::move(done));
}

void newest_sink::set_aside(const std::string& source, const std::string& what, const std::string& reason) {
  next_.set_aside(source, what, reason);
}

} // namespace tessera
