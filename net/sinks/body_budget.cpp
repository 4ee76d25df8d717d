#include "net/sinks/body_budget.hpp"

namespace tessera {

namespace {

/// Who can have one address of IPv6 mostly has the other 2^64 of its network, too.
boost::asio::ip::address client_of(const boost::asio::ip::address& from) {
  if (!from.is_v6())
    return from;
  auto v6 = from.to_v6();
  if (v6.is_v4_mapped())
    return boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, v6);
  auto bytes = v6.to_bytes();
  for (size_t i = 8; i < bytes.size(); ++i)
    bytes[i] = 0;
  return boost::asio::ip::address_v6(bytes);
}

} // namespace

bool body_budget::take(const boost::asio::ip::address& from, uint64_t bytes) {
  std::lock_guard lock{mutex_};
  const auto client = client_of(from);
  const auto found = of_.find(client);
  const auto had = found == of_.end() ? 0 : found->second;
  if (bytes > all_ - held_ || bytes > all_ / 2 - had)
    return false;
  of_[client] = had + bytes;
  held_ += bytes;
  return true;
}

void body_budget::give_back(const boost::asio::ip::address& from, uint64_t bytes) {
  std::lock_guard lock{mutex_};
  held_ -= bytes;
  const auto found = of_.find(client_of(from));
  if ((found->second -= bytes) == 0)
    of_.erase(found);
}

uint64_t body_budget::held() const {
  std::lock_guard lock{mutex_};
  return held_;
}

} // namespace tessera
