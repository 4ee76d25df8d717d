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

std::optional<connection_places::place> connection_places::take(const asio::ip::address& from) {
  const auto client = client_of(from);
  std::lock_guard lock{mutex_};
  if (taken_ == most_ || has_half(client))
    return std::nullopt;
  ++of_[client];
  ++taken_;
  return place{*this, client};
}

bool connection_places::place::move_to(const asio::ip::address& from) {
  const auto client = client_of(from);
  if (client == client_)
    return true;
  std::lock_guard lock{of_->mutex_};
  if (of_->has_half(client))
    return false;
  ++of_->of_[client];
  of_->leave(client_);
  client_ = client;
  return true;
}

bool connection_places::has_half(const asio::ip::address& client) const {
  const auto found = of_.find(client);
  return found != of_.end() && found->second == (most_ + 1) / 2;
}

void connection_places::leave(const asio::ip::address& client) {
  const auto found = of_.find(client);
  if (--found->second == 0)
    of_.erase(found);
}

void connection_places::give_back(const asio::ip::address& client) {
  std::lock_guard lock{mutex_};
  leave(client);
  --taken_;
}

} // namespace tessera
