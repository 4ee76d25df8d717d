#pragma once

#include "actors/store/gone_ids.hpp"
#include "actors/store/keyframe_store.hpp"
#include "actors/store/page_file.hpp"

#include <condition_variable>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>

namespace tessera {

/// How a spilling_store works.
struct spilling_options {
  uint64_t cap_bytes = 0; ///< of rays in memory
  std::string folder{};   ///< of the file; empty: the system's folder for temporary files
  /// What needs the file is done in a thread of the store's own. Else all is done, and answered, in the thread that asks: one at
  /// a time.
  bool own_thread = true;
  size_t remembered = default_remembered; ///< ids of keyframes that went, or were retracted before they came
  /// Opens the file. Tests put others here.
  std::function<std::unique_ptr<page_file>(const std::string&)> open
    = [](const std::string& where) { return std::make_unique<page_file>(where); };
};

/// Keeps rays in memory up to a cap, and the oldest ones beyond it in a temporary file that is made when it is first needed.
/// The index (about 300 bytes a keyframe) always stays in memory.
///
/// What does not need the file is done, and answered, at once in the thread that asks, however slow the disk is. The rest is done
/// one after another, and what it holds meanwhile is beyond the cap: whoever asks bounds how much is under way.
class spilling_store final : public keyframe_store {
public:
  /// Throws std::system_error if the folder cannot be written, or the thread cannot be started.
  explicit spilling_store(spilling_options how);
  /// As stop().
  ~spilling_store() override;

  void put(stored_keyframe frame, done answer) override;
  void get(const keyframe_id& id, got answer) override;
  void erase(const keyframe_id& id, done answer) override;
  void set_place(const keyframe_id& id, const keyframe_place& to, done answer) override;
  void remember(const retraction& what, done answer) override;
  void forget_retraction(const keyframe_id& id, done answer) override;
  [[nodiscard]] std::optional<retraction> retracted(const keyframe_id& id) const override;
  [[nodiscard]] std::vector<retraction> retractions() const override;
  void quarantine(quarantined_keyframe what, done answer) override;
  void release(const keyframe_id& id, done answer) override;
  [[nodiscard]] std::vector<keyframe_id> ids() const override;
  [[nodiscard]] std::vector<std::pair<keyframe_id, std::array<float, 3>>> cameras() const override;
  [[nodiscard]] std::vector<quarantined_keyframe> quarantined() const override;
  [[nodiscard]] std::map<std::string, uint64_t> group_revisions() const override;
  [[nodiscard]] store_usage usage() const override;
  [[nodiscard]] std::vector<store_pulse> pulses() const override;
  void stop() override;

private:
  using locked = std::unique_lock<std::mutex>;

  struct entry {
    stored_keyframe frame; ///< rays are null while they are in the file
    uint64_t rays = 0;
    uint64_t number = 0; ///< unique among all entries that there ever were
    std::vector<uint32_t> pages{};
    [[nodiscard]] bool in_memory() const { return frame.rays.rays != nullptr; }
    [[nodiscard]] uint64_t bytes() const { return rays * sizeof(ray); }
  };
  using entries = std::list<entry>;

  struct task {
    keyframe_id id;
    std::function<void(locked&)> act; ///< and answer, without the lock
  };

  /// Has something done about a keyframe: `work(lock, may_touch_the_file)` returns nothing, having done nothing, if it needs the
  /// file and may not. Done here and now if that will do and nothing about the keyframe waits; else in the thread.
  template <class Result, class Work>
  void ask(const keyframe_id& id, std::function<void(Result, std::exception_ptr)> answer, Work work);
  void run();

  // All with the lock, which they let go of while they are in the file.
  void add(stored_keyframe frame);
  void remove(entries::iterator place);
  void spill(locked& lock);
  template <class Work>
  auto in_file(locked& lock, Work work);

  const spilling_options how_;
  std::unique_ptr<page_file> file_; ///< used by the thread alone

  mutable std::mutex mutex_; ///< guards all that follows; never held while waiting for the disk
  std::condition_variable changed_;
  std::deque<task> tasks_;
  std::unordered_map<keyframe_id, size_t> waiting_; ///< tasks about it that are not answered
  bool stopped_ = false, working_ = false;
  uint64_t steps_ = 0; ///< tasks that the thread did
  entries order_;      ///< oldest first: those in the file, then those in memory
  std::unordered_map<keyframe_id, entries::iterator> index_;
  entries::iterator oldest_in_memory_; ///< end() if none
  uint64_t memory_bytes_ = 0, disk_bytes_ = 0, rays_ = 0, numbers_ = 0;
  gone_ids gone_{how_.remembered};
  quarantine_board quarantined_; ///< with a mutex of its own
  std::jthread thread_;
};

} // namespace tessera
