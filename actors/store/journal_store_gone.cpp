// Retractions of keyframes that never came: as durable as keyframes are.

#include "actors/store/journal_store.hpp"

namespace tessera {

void journal_store::remember(const retraction& what, done answer) {
  task t{kind::remember, what.id};
  t.admission = what.admission;
  t.changed = std::move(answer);
  ask(std::move(t));
}

void journal_store::forget_retraction(const keyframe_id& id, done answer) {
  task t{kind::forget, id};
  t.changed = std::move(answer);
  ask(std::move(t));
}

void journal_store::prepare_gone(task& t) {
  const auto* known = gone_.find(t.id);
  if (t.what == kind::forget) {
    t.due = known != nullptr && known->kind == gone_kind::retracted;
    t.gone = t.due ? known->number : 0;
  } else if (t.gone == 0) { // else it was entered, and could not be written
    t.due = known == nullptr && !index_.contains(t.id);
    if (t.due)
      t.gone = gone_.enter(t.id, gone_kind::retracted, t.admission, dropped_gone_);
    t.due = t.gone != 0;
  }
}

std::optional<retraction> journal_store::retracted(const keyframe_id& id) const {
  const std::lock_guard lock{mutex_};
  return gone_.retracted(id);
}

std::vector<retraction> journal_store::retractions() const {
  const std::lock_guard lock{mutex_};
  return gone_.retractions();
}

} // namespace tessera
