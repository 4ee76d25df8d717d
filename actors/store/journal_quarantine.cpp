// What a journal keeps of keyframes that are in quarantine: records of their own, beside those of keyframes.

#include "actors/store/journal_store.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace tessera {

void journal_store::quarantine(quarantined_keyframe what, done answer) {
  const auto id = what.id;
  ask({id, std::move(what), std::move(answer)});
}

void journal_store::release(const keyframe_id& id, done answer) {
  ask({id, {}, std::move(answer)});
}

std::vector<quarantined_keyframe> journal_store::quarantined() const {
  auto out = quarantined_.list();
  std::reverse(out.begin(), out.end());
  return out;
}

void journal_store::ask(note n) {
  notes one;
  one.push_back(std::move(n));
  {
    const std::lock_guard lock{mutex_};
    if (!stopped_) {
      auto& its = one.front();
      if (!its.what)
        its.did = quarantined_.erase(its.id);
      else if (const auto forgotten = quarantined_.enter(*its.what))
        notes_.push_back({*forgotten, {}, [](bool, const std::exception_ptr&) {}});
      notes_.splice(notes_.end(), one);
      to_write_.notify_one();
      return;
    }
  }
  one.front().answer(false, std::make_exception_ptr(std::runtime_error("the keyframe store has ended")));
}

std::exception_ptr journal_store::write(notes& some, bool last) noexcept {
  std::exception_ptr failed;
  try {
    std::unordered_map<keyframe_id, const quarantined_keyframe*> newest; // what is asked of an id later is what counts
    for (const auto& one : some)
      newest[one.id] = one.what ? &*one.what : nullptr;
    std::vector<const quarantined_keyframe*> come;
    std::vector<keyframe_id> go;
    for (const auto& [id, what] : newest) {
      if (what != nullptr)
        come.push_back(what);
      else
        go.push_back(id);
    }
    if (!newest.empty())
      journal_->write_quarantine(come, go);
  } catch (...) {
    failed = std::current_exception();
    if (!last)
      return failed;
  }
  for (const auto& one : std::exchange(some, {})) {
    try {
      one.answer(one.did && !failed, failed);
    } catch (...) {
      say(severity::error, "an answer of the journal was not heard: ", std::current_exception());
    }
  }
  return failed;
}

} // namespace tessera
