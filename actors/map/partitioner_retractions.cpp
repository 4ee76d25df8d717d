// Retractions that come before their keyframes: the store remembers them, as durably as keyframes.

#include "actors/map/partitioner_class.hpp"

namespace tessera::detail {

void partitioner::remember(const change_ptr& c) {
  store_.remember(std::get<retraction>(c->what), [this, c](store_answer& a) {
    if (a.failure) {
      auto by = store_failed(a.failure);
      by.text.insert(0, "the retraction could not be stored: ");
      return not_now(c, std::move(by));
    }
    count_store();
    finish(c, {outcome::unknown, store_.retracted(c->id()) ? "no keyframe of that id ever came: one that does stays out" : ""});
  });
}

void partitioner::keep_out(const change_ptr& c) {
  c->frame().body.reset();
  finish(c, {outcome::retracted, "keyframe_id " + shown(c->id())
                                   + " was retracted before a keyframe came: give this one another id or another session"});
}

void partitioner::forget_retraction(const change_ptr& c) {
  if (const auto its = store_.retracted(c->id()); !its || !matches(*c->part_of->clears, *its))
    return finish(c, {outcome::unknown, {}});
  store_.forget_retraction(c->id(), [this, c](store_answer& a) {
    if (a.failure) {
      auto by = store_failed(a.failure);
      by.text.insert(0, "a retraction could not be forgotten: ");
      return not_now(c, std::move(by));
    }
    count_store();
    finish(c, {outcome::unknown, {}});
  });
}

} // namespace tessera::detail
