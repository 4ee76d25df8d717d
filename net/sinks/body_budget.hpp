#pragma once
// How much memory the bodies of requests may take while they come in.

#include <boost/asio/ip/address.hpp>

#include <cstdint>
#include <map>
#include <mutex>

namespace tessera {

/// Bounds all bodies together, and those of one client: half of it, so that nobody keeps all others out.
/// Threads: any.
class body_budget {
public:
  explicit body_budget(uint64_t bytes) : all_{bytes} {}

  /// Takes so many bytes for a body that comes from an address; answers whether there is room.
  bool take(const boost::asio::ip::address& from, uint64_t bytes);
  void give_back(const boost::asio::ip::address& from, uint64_t bytes);
  [[nodiscard]] uint64_t held() const;

private:
  const uint64_t all_;
  mutable std::mutex mutex_;
  uint64_t held_ = 0;
  std::map<boost::asio::ip::address, uint64_t> of_; ///< by client; none has 0
};

/// What one body holds of a budget; gives it back when it goes.
class body_share {
public:
  body_share(body_budget& budget, const boost::asio::ip::address& from) : budget_{budget}, from_{from} {}
  ~body_share() { release(); }
  body_share(const body_share&) = delete;
  body_share& operator=(const body_share&) = delete;

  bool take(uint64_t bytes) {
    if (!budget_.take(from_, bytes))
      return false;
    held_ += bytes;
    return true;
  }
  void release() {
    if (held_ > 0)
      budget_.give_back(from_, held_);
    held_ = 0;
  }

private:
  body_budget& budget_;
  const boost::asio::ip::address from_;
  uint64_t held_ = 0;
};

} // namespace tessera
