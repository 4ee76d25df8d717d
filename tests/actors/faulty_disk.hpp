#pragma once
// A disk under the keyframe store that fails as a full one, a broken one, or a process without memory would; or that is slow:
// then it does nothing before the test lets it. And calls of a store that wait.

#include "actors/store/spilling_store.hpp"

#include <atomic>
#include <chrono>
#include <future>
#include <new>
#include <random>
#include <stdexcept>
#include <system_error>

namespace tessera::toy {

/// Threads: any.
class faulty_disk : public std::enable_shared_from_this<faulty_disk> {
public:
  enum class fault { none, full, unreadable, damaged, no_memory };

  /// What happens to whoever writes, and to whoever reads.
  std::atomic<fault> writing{fault::none}, reading{fault::none};
  std::atomic<uint64_t> reads{0}, writes{0}; ///< begun

  /// From now on whatever touches the disk waits.
  void close() {
    const std::lock_guard lock{mutex_};
    closed_ = true;
  }
  void open() {
    const std::lock_guard lock{mutex_};
    closed_ = false;
    changed_.notify_all();
  }
  /// Waits until somebody waits for the disk.
  void wait_until_stuck() {
    std::unique_lock lock{mutex_};
    if (!changed_.wait_for(lock, std::chrono::seconds{30}, [this] { return stuck_; }))
      throw std::runtime_error("nobody came to the disk");
  }

  /// A store on this disk.
  std::shared_ptr<spilling_store> make_store(uint64_t cap_bytes, bool own_thread) {
    spilling_options how;
    how.cap_bytes = cap_bytes;
    how.own_thread = own_thread;
    how.open = [its = shared_from_this()](const std::string& folder) { return std::make_unique<file>(folder, its); };
    return std::make_shared<spilling_store>(std::move(how));
  }

private:
  class file final : public page_file {
  public:
    file(const std::string& folder, std::shared_ptr<faulty_disk> disk) : page_file{folder}, disk_{std::move(disk)} {}
    std::vector<uint32_t> write(std::span<const std::byte> bytes) override {
      ++disk_->writes;
      disk_->come();
      fail(disk_->writing);
      return page_file::write(bytes);
    }
    void read(std::span<const uint32_t> pages, std::span<std::byte> bytes) const override {
      ++disk_->reads;
      disk_->come();
      fail(disk_->reading);
      page_file::read(pages, bytes);
    }
    void free(std::span<const uint32_t> pages) override {
      disk_->come();
      page_file::free(pages);
    }

  private:
    std::shared_ptr<faulty_disk> disk_;
  };

  void come() {
    std::unique_lock lock{mutex_};
    stuck_ = closed_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !closed_; });
    stuck_ = false;
  }

  static void fail(fault how) {
    if (how == fault::full)
      throw std::system_error(ENOSPC, std::generic_category(), "cannot write to the keyframe store's file");
    if (how == fault::unreadable)
      throw std::system_error(EIO, std::generic_category(), "cannot read the keyframe store's file");
    if (how == fault::damaged)
      throw damaged_keyframe("its record is damaged");
    if (how == fault::no_memory)
      throw std::bad_alloc{};
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false, stuck_ = false;
};

/// A keyframe as it is stored, with random rays.
inline stored_keyframe a_frame(const std::string& id, size_t rays, uint32_t seed) {
  std::mt19937 random{seed};
  std::vector<ray> out(rays);
  for (auto& r : out)
    r = {static_cast<int32_t>(random()), static_cast<int32_t>(random()), static_cast<int32_t>(random()), 1, 2, 3, 4};
  stored_keyframe frame;
  frame.id.value = id;
  frame.timestamp_ns = seed;
  frame.world_from_camera.m[3] = static_cast<float>(seed);
  frame.rays.rays = std::make_shared<const std::vector<ray>>(std::move(out));
  return frame;
}

inline bool same(const std::optional<stored_keyframe>& found, const stored_keyframe& wanted) {
  return found && *found->rays.rays == *wanted.rays.rays;
}

/// What a store answers, in time. `start(answer)` asks.
template <class Result, class Start>
std::future<Result> asked(Start start) {
  auto promise = std::make_shared<std::promise<Result>>();
  auto out = promise->get_future();
  start([promise](Result result, const std::exception_ptr& failure) {
    failure ? promise->set_exception(failure) : promise->set_value(std::move(result));
  });
  return out;
}

inline auto ask_put(keyframe_store& store, stored_keyframe frame) {
  return asked<bool>([&](auto answer) { store.put(std::move(frame), answer); });
}
inline auto ask_get(keyframe_store& store, const keyframe_id& id) {
  return asked<std::optional<stored_keyframe>>([&](auto answer) { store.get(id, answer); });
}
inline auto ask_erase(keyframe_store& store, const keyframe_id& id) {
  return asked<bool>([&](auto answer) { store.erase(id, answer); });
}

/// Calls that wait for the answer.
inline bool put(keyframe_store& store, stored_keyframe frame) {
  return ask_put(store, std::move(frame)).get();
}
inline std::optional<stored_keyframe> get(keyframe_store& store, const keyframe_id& id) {
  return ask_get(store, id).get();
}
inline bool erase(keyframe_store& store, const keyframe_id& id) {
  return ask_erase(store, id).get();
}
inline bool remember(keyframe_store& store, const retraction& what) {
  return asked<bool>([&](auto answer) { store.remember(what, answer); }).get();
}
inline bool forget_retraction(keyframe_store& store, const keyframe_id& id) {
  return asked<bool>([&](auto answer) { store.forget_retraction(id, answer); }).get();
}
inline bool set_place(keyframe_store& store, const keyframe_id& id, const keyframe_place& to) {
  return asked<bool>([&](auto answer) { store.set_place(id, to, answer); }).get();
}
inline bool set_pose(keyframe_store& store, const keyframe_id& id, const pose& to) {
  return set_place(store, id, {to});
}

/// Whether it was answered.
template <class Result>
bool is_answered(const std::future<Result>& what) {
  return what.wait_for(std::chrono::seconds{0}) == std::future_status::ready;
}

} // namespace tessera::toy
