#include "actors/store/gone_ids.hpp"

#include <algorithm>

namespace tessera {

const gone_ids::entry* gone_ids::find(const keyframe_id& id) const {
  const auto i = entries_.find(id);
  return i == entries_.end() ? nullptr : &i->second;
}

bool gone_ids::is(const keyframe_id& id, gone_kind kind) const {
  const auto* known = find(id);
  return known != nullptr && known->kind == kind;
}

std::optional<retraction> gone_ids::retracted(const keyframe_id& id) const {
  const auto* known = find(id);
  if (known == nullptr || known->kind != gone_kind::retracted)
    return {};
  return retraction{id, known->admission};
}

std::vector<retraction> gone_ids::retractions() const {
  std::vector<retraction> out;
  out.reserve(count(gone_kind::retracted));
  for (const auto& [number, id] : order(gone_kind::retracted))
    out.push_back({*id, entries_.at(*id).admission});
  return out;
}

uint64_t gone_ids::enter(const keyframe_id& id, gone_kind kind, uint64_t admission, std::vector<uint64_t>& dropped,
                         uint64_t number) {
  if (most_ == 0)
    return 0;
  number = number != 0 ? number : numbers_ + 1;
  dropped.reserve(dropped.size() + 2);
  const auto [i, fresh] = entries_.try_emplace(id);
  try {
    order(kind).emplace(number, &i->first);
  } catch (...) {
    if (fresh)
      entries_.erase(i);
    throw;
  }
  if (!fresh) {
    dropped.push_back(i->second.number);
    order(i->second.kind).erase(i->second.number);
  }
  i->second = {kind, number, admission};
  numbers_ = std::max(numbers_, number);
  if (auto& its = order(kind); its.size() > most_) {
    dropped.push_back(its.begin()->first);
    entries_.erase(entries_.find(*its.begin()->second));
    its.erase(its.begin());
    let_go_ += kind == gone_kind::retracted ? 1 : 0;
  }
  return number;
}

void gone_ids::erase(const keyframe_id& id) noexcept {
  const auto i = entries_.find(id);
  if (i == entries_.end())
    return;
  order(i->second.kind).erase(i->second.number);
  entries_.erase(i);
}

} // namespace tessera
