#pragma once
// How much memory the bodies of requests may take while they come in.

#include "net/server/client_address.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace tessera {

class body_share;

/// Bounds all bodies together, and those of one client: half of it, so that nobody keeps all others out. Where there is no room,
/// bodies that hardly move make it, however fast they came before: a client that is slow, or only pretends to send, keeps nobody
/// out either, not even others at its own address.
/// Threads: any.
class body_budget {
public:
  using clock = std::chrono::steady_clock;

  /// Bodies that began so long ago, and of which fewer bytes a second came lately, may have to go. Lately is the time from one to
  /// two times `after` ago until now: what came fast and stands still is slow after two times `after`.
  struct least_rate {
    std::chrono::milliseconds after{2'000}; ///< above 0
    uint64_t bytes_per_s = 64 << 10;
  };

  explicit body_budget(uint64_t bytes, least_rate least, std::function<clock::time_point()> now = clock::now)
    : all_{bytes}, least_{least}, now_{std::move(now)} {}
  explicit body_budget(uint64_t bytes) : body_budget{bytes, least_rate{}} {}

  [[nodiscard]] uint64_t held() const;

private:
  friend class body_share;
  struct client {
    uint64_t held = 0;
    std::set<body_share*> coming;
  };

  bool take(body_share& by, uint64_t bytes);
  void give_back(body_share& by);
  void make_room(const body_share& for_whom, uint64_t bytes, std::vector<std::function<void()>>& to_tell);
  void let_go(body_share& one);

  const uint64_t all_;
  const least_rate least_;
  const std::function<clock::time_point()> now_;
  mutable std::mutex mutex_;
  uint64_t held_ = 0;
  std::map<boost::asio::ip::address, client> of_; ///< none holds 0
};

/// What one body holds of a budget; gives it back when it goes. Its owner's thread calls it, one at a time.
class body_share {
public:
  body_share(body_budget& budget, const boost::asio::ip::address& from);
  ~body_share() { release(); }
  body_share(const body_share&) = delete;
  body_share& operator=(const body_share&) = delete;

  /// Counts bodies for another client from now on. Gives back what it holds.
  void move_to(const boost::asio::ip::address& from);
  /// A body begins to come. `ended` is called, in any thread, if it has to make room: then it has no share any more.
  void begin(std::function<void()> ended);
  /// So much of it is there.
  void came(uint64_t bytes);
  /// It is there, and will not have to make room. False: it had to already.
  bool whole();
  /// Takes so many bytes; answers whether there is room.
  bool take(uint64_t bytes) { return budget_.take(*this, bytes); }
  void release() { budget_.give_back(*this); }
  /// Whether it had to make room.
  [[nodiscard]] bool ended() const;

private:
  friend class body_budget;
  using clock = body_budget::clock;

  void move_mark(clock::time_point now);
  /// What came of it a second lately; nothing for one that has just begun.
  [[nodiscard]] std::optional<double> recent_rate(clock::time_point now);

  body_budget& budget_;
  // All of these under the budget's mutex.
  boost::asio::ip::address client_;
  uint64_t held_ = 0, came_ = 0;
  clock::time_point mark_{};       ///< moves on by least_rate::after
  uint64_t came_by_mark_ = 0;      ///< of came_
  std::optional<uint64_t> before_; ///< what came in the time `after` before the mark; nothing if it had not begun
  std::function<void()> tell_;
  bool coming_ = false, ended_ = false;
};

} // namespace tessera
