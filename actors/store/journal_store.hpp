#pragma once

#include "actors/base/log.hpp"
#include "actors/store/gone_ids.hpp"
#include "actors/store/journal.hpp"
#include "actors/store/keyframe_store.hpp"

#include <atomic>
#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>

namespace tessera {

/// Keeps the live keyframes in a journal: a change is answered when the disk has it.
///
/// One thread writes: it takes what waits, up to what RocksDB buffers, and writes it together, so that a disk that takes 10 ms to
/// be sure costs each keyframe little. Another one reads. What is asked about one id waits in a line of its own, whose first
/// stands in the line of one of the threads. Put is answered with an error when the disk is full or fails, or memory is short;
/// what takes away, moves or remembers is tried until it is done, or the store ends: it must not come undone at the next start. A
/// third thread gives back the space of what was erased.
///
/// Once something is in a line, it moves without memory being asked for, so that it is answered whatever fails.
class journal_store final : public keyframe_store {
public:
  /// `log` is told what nobody asked for: that the disk refuses what must be written, or to be tidied. `remembered`: ids of
  /// keyframes that went, and as many that were retracted before they came. Throws journal_error if the journal's keyframes
  /// cannot be read, std::system_error if a thread cannot be started, or what is beyond `remembered` cannot be erased.
  explicit journal_store(std::shared_ptr<journal> in, log_function log = {}, size_t remembered = default_remembered);
  /// As stop().
  ~journal_store() override;

  /// What gives room on the disk back, a little at a time, when a keyframe would not be taken for want of it: true if it did. Is
  /// called in the thread that writes. To be set before anything is asked.
  void on_want_of_room(std::function<bool()> make) { make_room_ = std::move(make); }

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
  [[nodiscard]] std::vector<kept_keyframe> take_kept() override;
  [[nodiscard]] std::vector<std::pair<keyframe_id, std::array<float, 3>>> cameras() const override;
  [[nodiscard]] std::vector<quarantined_keyframe> quarantined() const override;
  [[nodiscard]] std::map<std::string, uint64_t> group_revisions() const override;
  [[nodiscard]] store_usage usage() const override;
  [[nodiscard]] std::vector<store_pulse> pulses() const override;
  void stop() override;

private:
  using locked = std::unique_lock<std::mutex>;

  enum class kind { put, get, erase, move, remember, forget };
  struct task {
    kind what;
    keyframe_id id;
    stored_keyframe frame{}; ///< of a put
    keyframe_place to{};     ///< of a move
    done changed{};
    got found{};
    uint64_t admission = 0; ///< of a retraction that is remembered
    bool due = true;        ///< of a change: there is something to be written
    uint64_t number = 0;    ///< of what is being written
    uint64_t gone = 0;      ///< of the id as one that is gone, once it was entered
  };
  using tasks = std::list<task>;

  struct entry {
    uint64_t number = 0, rays = 0;
    std::string group{};
    std::optional<uint64_t> revision{};
    uint64_t admission = 0;
    std::array<float, 3> camera{}; ///< its place, metres
  };

  /// What is to be written of a keyframe that comes into quarantine, or goes from it.
  struct note {
    keyframe_id id;
    std::optional<quarantined_keyframe> what; ///< nothing: it goes
    done answer;
    bool did = true;
  };
  using notes = std::list<note>;

  void ask(task t);
  void ask(note n);
  /// Writes these together, and answers; if that cannot be done now, they are left, and it says why. `last`: then they are
  /// answered all the same.
  std::exception_ptr write(notes& some, bool last) noexcept;
  /// With the lock: gives the first of a line to the thread that does it.
  void hand(tasks& line) noexcept;
  /// With the lock: the first of its line was answered, and the next has its turn.
  void next(const keyframe_id& id) noexcept;
  void answer(const task& t, bool did, std::optional<stored_keyframe> frame, const std::exception_ptr& failure) noexcept;
  /// As answer(), of a change that has been written, or not; and it is gone.
  void finish(tasks& group, tasks::iterator which, bool did, const std::exception_ptr& failure) noexcept;

  void write_all();
  /// With the lock: takes what is to be written next, up to a buffer of it.
  void take(tasks& group) noexcept;
  /// Writes what came together, and answers. What is left in the group could not be written and must be: says why.
  std::exception_ptr commit(tasks& group) noexcept;
  /// Gives what is due its number, and enters what is put. Answers the bytes of what is put. Throws std::bad_alloc.
  uint64_t prepare(tasks& group);
  /// With the lock: of a change of what is known of ids that are gone. Throws std::bad_alloc.
  void prepare_gone(task& t);
  /// With the lock. Answers its rays, if it was entered.
  uint64_t forget(const keyframe_id& id, uint64_t number) noexcept;
  void read_all();
  void tidy();
  void say(severity how, const std::string& what, const std::exception_ptr& why) const noexcept;

  const std::shared_ptr<journal> journal_;
  const log_function log_;
  std::function<bool()> make_room_;

  mutable std::mutex mutex_; ///< of all that follows; nobody has it who waits for the disk
  std::condition_variable to_write_, to_read_, to_tidy_;
  std::unordered_map<keyframe_id, tasks> lines_; ///< of each id about which something is being done: what waits for it
  tasks changes_, reads_;                        ///< that were first of their lines
  notes notes_;                                  ///< that the writer has not seen yet
  quarantine_board quarantined_;                 ///< what was noted; with a mutex of its own
  size_t writing_ = 0, reading_ = 0;             ///< that the threads are at
  uint64_t writes_done_ = 0, reads_done_ = 0;    ///< also in vain
  bool stopped_ = false;
  std::unordered_map<keyframe_id, entry> index_; ///< of what is there, or is being put
  std::map<uint64_t, keyframe_id> by_number_;
  std::map<uint64_t, kept_keyframe> kept_; ///< what was there at the start, until somebody takes it
  gone_ids gone_;                          ///< also those that are about to be written
  std::vector<uint64_t> dropped_gone_;     ///< whose records are still there
  uint64_t numbers_ = 0, rays_ = 0;
  uint64_t erased_rays_ = 0;                              ///< that may still take space on the disk, of earlier processes too
  std::atomic<uint64_t> memory_bytes_{0}, disk_bytes_{0}; ///< of the journal, as of a moment ago
  std::jthread writer_, reader_, tidier_;
};

} // namespace tessera
