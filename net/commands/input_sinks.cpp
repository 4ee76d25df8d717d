#include "net/commands/input_sinks.hpp"

#include "actors/base/hindrance.hpp"
#include "actors/intake/keyframe_check.hpp"
#include "actors/map/keyframe_ledger.hpp"

#include <algorithm>
#include <atomic>

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
  // Who takes a keyframe out, or moves one, must not wait for the first: it may stand behind them.
  if (const auto* gone = std::get_if<retraction>(&what); gone != nullptr && nothing_came())
    return remember(*gone, std::move(done));
  std::optional<verdict> answer;
  {
    const std::lock_guard lock(mutex_);
    if (next_ == nullptr && !one_came_) {
      if (const auto* frame = std::get_if<keyframe>(&what); !frame)
        answer = {outcome::unknown, {}};
      else if (store_->retracted(frame->id))
        answer = {outcome::retracted, {}};
      else if (!stop_.stop_requested())
        one_came_ = !(answer = judge_(*frame));
    }
  }
  if (answer) {
    numbers_->kept_out.fetch_add(answer->what == outcome::retracted ? 1 : 0, std::memory_order_relaxed);
    return done(*answer);
  }
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

void gate_sink::remember(const retraction& what, completion done) {
  if (const auto fault = check_id(what.id)) {
    numbers_->count_refused(fault->why);
    numbers_->set_aside.add("ingest", shown(what.id), fault->text);
    return done({outcome::refused, fault->text});
  }
  store_->remember(what, [numbers = numbers_, done = std::move(done)](bool, const std::exception_ptr& failure) {
    done(failure ? numbers->count_not_now(hindered_by(failure)) : verdict{outcome::unknown, {}});
  });
}

void gate_sink::forget_retractions(const keyframe_selection& which, completion done) {
  struct request {
    std::atomic<size_t> left = 1;
    std::atomic<bool> failed = false;
  };
  const auto all = std::make_shared<request>();
  const auto part_done = [all, numbers = numbers_, done = std::move(done)](bool, const std::exception_ptr& failure) {
    if (failure) {
      (void)numbers->count_not_now(hindered_by(failure));
      all->failed = true;
    }
    if (--all->left == 0)
      done(all->failed ? verdict{outcome::not_now, "some retractions could not be forgotten"} : verdict{});
  };
  for (const auto& one : store_->retractions())
    if (matches(which, one)) {
      ++all->left;
      store_->forget_retraction(one.id, part_done);
    }
  part_done(true, nullptr);
}

void gate_sink::retract_all(keyframe_selection which, completion done) {
  if (nothing_came())
    forget_retractions(which, std::move(done));
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
