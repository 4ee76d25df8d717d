#include "actors/map/change_queue.hpp"

#include "actors/map/keyframe_ledger.hpp"

#include <algorithm>
#include <map>

namespace tessera {

change_ptr change_queue::make(map_input what) {
  return std::make_shared<change>(change{std::move(what), next_number()});
}

bool change_queue::add(const change_ptr& c, uint64_t ahead_of) {
  if (!c->part_of) // else the batch is open
    open_.insert(c->number);
  auto& its = of_id_[c->id()];
  its.insert(std::find_if(its.begin(), its.end(), [&](const change_ptr& other) { return other->number > ahead_of; }), c);
  return its.size() == 1;
}

change_ptr change_queue::finish(const change& c) {
  if (!c.part_of)
    open_.erase(c.number);
  const auto i = of_id_.find(c.id());
  i->second.pop_front();
  if (!i->second.empty())
    return i->second.front();
  of_id_.erase(i);
  return nullptr;
}

change_ptr change_queue::first(const keyframe_id& id) const {
  const auto i = of_id_.find(id);
  return i == of_id_.end() ? nullptr : i->second.front();
}

change_ptr change_queue::second(const keyframe_id& id) const {
  const auto i = of_id_.find(id);
  return i == of_id_.end() || i->second.size() < 2 ? nullptr : i->second[1];
}

std::vector<change_ptr> change_queue::firsts() const {
  std::multimap<uint64_t, change_ptr> by_number;
  for (const auto& [id, its] : of_id_)
    by_number.emplace(its.front()->number, its.front());
  std::vector<change_ptr> out;
  for (const auto& [number, c] : by_number)
    out.push_back(c);
  return out;
}

std::vector<keyframe_id> change_queue::coming(const keyframe_selection& which, uint64_t before) const {
  std::vector<keyframe_id> out;
  for (const auto& [id, its] : of_id_)
    if (std::any_of(its.begin(), its.end(), [&, &id = id](const change_ptr& c) {
          if (c->number >= before)
            return false;
          if (const auto* frame = std::get_if<keyframe>(&c->what))
            return matches(which, id, {frame->source, frame->group, frame->timestamp_ns, frame->admission});
          const auto* gone = std::get_if<retraction>(&c->what);
          return gone != nullptr && c->remembers() && matches(which, *gone);
        }))
      out.push_back(id);
  return out;
}

} // namespace tessera
