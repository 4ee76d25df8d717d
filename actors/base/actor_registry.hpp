#pragma once

#include "actors/base/time_histogram.hpp"
#include "messages/status.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace tessera {

/// Whether there is work, and how far it got: of two looks with work and the same number of steps, nothing was done in between.
struct pulse {
  bool works = false;
  uint64_t steps = 0;
};

/// What one actor reports of itself while it works. The actor writes, anyone reads, nobody waits.
class actor_record {
public:
  /// One type of message: what it is, and how long its handlers took.
  struct handler {
    uint64_t key = 0;
    std::string name;
    time_histogram times;
  };

  static constexpr size_t max_handlers = 16;

  actor_record(std::string role, std::optional<region_key> region, std::optional<device_id> device);

  // -- written by the actor's own thread, or by its senders where it says so ---

  /// A message was put into the mailbox. Threads: any.
  void enqueued() noexcept { enqueued_.fetch_add(1, std::memory_order_relaxed); }
  /// A message was taken out of it.
  void dequeued() noexcept { dequeued_.store(dequeued_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }

  /// Returns the handler with this key, or null; the actor's own thread.
  [[nodiscard]] handler* find(uint64_t key) noexcept {
    const auto n = count_.load(std::memory_order_relaxed);
    for (size_t i = 0; i < n; ++i)
      if (slots_[i]->key == key)
        return slots_[i].get();
    return nullptr;
  }

  /// Adds a handler; when there are too many kinds, the last one collects the rest.
  handler& add(uint64_t key, std::string name);

  void set_id(uint64_t id) noexcept { id_.store(id, std::memory_order_relaxed); }
  void set_busy(bool busy) noexcept { busy_.store(busy, std::memory_order_relaxed); }
  /// Begins a message of this kind; null: of one that came never before.
  void begin(const handler* what) noexcept {
    handling_.store(what, std::memory_order_release);
    set_busy(true);
  }
  /// So much was given to others who work for this actor, and is not done.
  void set_pending(uint64_t n) noexcept { pending_.store(n, std::memory_order_relaxed); }
  /// Some of it was done.
  void advance() noexcept { advanced_.fetch_add(1, std::memory_order_relaxed); }
  void set_detail(std::string text);
  /// The detail is asked for each time that somebody looks, in the thread of whoever does; `text` must not wait.
  void set_detail(std::function<std::string()> text);
  void set_error(std::string text);
  void set_down() noexcept { down_.store(true, std::memory_order_relaxed); }
  void set_restarts(uint64_t n) noexcept { restarts_.store(n, std::memory_order_relaxed); }
  /// A watchdog found that it does not get on. Threads: the watchdog's.
  void set_stalled(bool stalled) noexcept { stalled_.store(stalled, std::memory_order_relaxed); }

  // -- read by anyone ----------------------------------------------------------

  [[nodiscard]] actor_status status() const;
  /// Of its mailbox, and of what others do for it.
  [[nodiscard]] std::array<pulse, 2> pulses() const noexcept;
  /// What it is at, in words.
  [[nodiscard]] std::string doing() const;
  /// Its role, with its region or device.
  [[nodiscard]] std::string name() const;
  [[nodiscard]] uint64_t id() const noexcept { return id_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::string last_error() const;
  [[nodiscard]] bool down() const noexcept { return down_.load(std::memory_order_relaxed); }

private:
  const std::string role_;
  const std::optional<region_key> region_;
  const std::optional<device_id> device_;
  std::atomic<uint64_t> id_{0}, restarts_{0};
  std::atomic<uint64_t> enqueued_{0}, dequeued_{0};
  std::atomic<uint64_t> pending_{0}, advanced_{0};
  std::atomic<bool> busy_{false}, down_{false}, stalled_{false};
  std::atomic<const handler*> handling_{nullptr};
  std::atomic<size_t> count_{0};
  std::array<std::unique_ptr<handler>, max_handlers> slots_;
  mutable std::mutex text_mutex_;
  std::string detail_, last_error_;
  std::function<std::string()> detail_now_;
};

/// All actors of a node. Threads: any.
class actor_registry {
public:
  /// Lists an actor for as long as the returned pointer lives; once it is down, only if no other of its role is up. Meshers and
  /// sessions, which come and go, are listed only until they are down.
  std::shared_ptr<actor_record> enlist(std::string role, std::optional<region_key> region = {},
                                       std::optional<device_id> device = {});

  /// Those of all actors that exist.
  [[nodiscard]] std::vector<std::shared_ptr<actor_record>> records() const;

  /// Returns what each actor is and does now, by role, then id.
  [[nodiscard]] std::vector<actor_status> statuses() const;

  /// Notes how often actors of the role of the one with this id were started before it.
  void set_restarts(uint64_t id, uint64_t restarts);

  /// How many actors exist, those that are down and not listed included.
  [[nodiscard]] size_t existing() const;

private:
  void sweep();

  mutable std::mutex mutex_;
  std::vector<std::weak_ptr<actor_record>> records_;
  size_t sweep_at_ = 64;
};

} // namespace tessera
