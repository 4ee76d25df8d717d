#include "net/server/server_core.hpp"

namespace tessera {

void connection_list::add(const std::shared_ptr<connection>& one) {
  std::lock_guard lock{mutex_};
  open_.emplace(one.get(), one);
}

void connection_list::remove(const connection* one) {
  std::lock_guard lock{mutex_};
  open_.erase(one);
}

std::vector<std::shared_ptr<connection>> connection_list::all() const {
  std::vector<std::shared_ptr<connection>> out;
  std::lock_guard lock{mutex_};
  out.reserve(open_.size());
  for (const auto& [key, weak] : open_)
    if (auto one = weak.lock())
      out.push_back(std::move(one));
  return out;
}

size_t connection_list::size() const {
  std::lock_guard lock{mutex_};
  return open_.size();
}

} // namespace tessera
