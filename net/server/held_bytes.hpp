#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace tessera {

/// Bytes of answers that are in memory until their last reader has them. While there are too many, no other is made; whoever
/// wants one says so, and those who read too slowly end (http_session). Threads: any.
class held_bytes {
  struct state {
    std::atomic<uint64_t> held{0};
    std::atomic<bool> wanted{false};
  };

public:
  explicit held_bytes(uint64_t most) : most_{most} {}

  /// So many bytes, counted until this goes.
  class share {
  public:
    share(share&& other) noexcept = default;
    share& operator=(share&&) = delete;
    ~share() {
      if (of_ && of_->held.fetch_sub(bytes_) - bytes_ <= most_)
        of_->wanted = false;
    }

  private:
    friend held_bytes;
    share(std::shared_ptr<state> of, uint64_t bytes, uint64_t most) : of_{std::move(of)}, bytes_{bytes}, most_{most} {
      of_->held.fetch_add(bytes_);
    }
    std::shared_ptr<state> of_;
    uint64_t bytes_, most_;
  };

  [[nodiscard]] share count(uint64_t bytes) const { return {state_, bytes, most_}; }
  [[nodiscard]] uint64_t now() const { return state_->held.load(); }
  [[nodiscard]] uint64_t most() const { return most_; }
  /// Whether there is room for another answer. If not, it is wanted from now on, until there is.
  [[nodiscard]] bool has_room() const {
    if (now() <= most_)
      return true;
    state_->wanted = true;
    if (now() > most_)
      return false;
    state_->wanted = false;
    return true;
  }
  /// Whether somebody waits for room; outlives this.
  [[nodiscard]] std::shared_ptr<const std::atomic<bool>> wanted() const { return {state_, &state_->wanted}; }

private:
  const uint64_t most_;
  std::shared_ptr<state> state_ = std::make_shared<state>();
};

} // namespace tessera
