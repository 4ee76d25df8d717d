#pragma once

#include "actors/store/journal_record.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace tessera {

/// A journal that cannot be used: says which, why, and what to do.
class journal_error : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

/// The live keyframes on disk, with all that their part of the map can be made of again: a folder that RocksDB keeps, with what
/// it checks and compresses. What is written is durable when write() returns. docs/journal.md.
///
/// Threads: one writes; any read meanwhile.
class journal {
public:
  enum class access {
    serve,   ///< to write and read; what is not there is made
    look,    ///< to read; there must be a journal, and nobody else may use it
    salvage, ///< as serve, but of a damaged log what comes before the damage is kept
  };

  /// Opens the journal in a folder, alone. `memory_bytes` bounds what RocksDB holds. Throws journal_error: the folder cannot be
  /// written, another process uses it, it holds something else, a newer program wrote it, or it is damaged.
  journal(std::string folder, uint64_t memory_bytes, access how = access::serve);
  ~journal();

  [[nodiscard]] const std::string& folder() const { return folder_; }

  /// What its keyframes' rays were made with; nothing if it is new.
  [[nodiscard]] std::optional<map_settings> map() const;
  void set_map(const map_settings& map);

  struct kept {
    uint64_t number; ///< larger than that of all before it
    kept_keyframe what;
  };
  /// All keyframes without their rays, oldest first. Throws journal_error if they cannot be read.
  [[nodiscard]] std::vector<kept> keyframes() const;

  /// A keyframe with its rays. Throws std::system_error that says what is wrong if they cannot be read, or are not what was
  /// written.
  [[nodiscard]] stored_keyframe read(uint64_t number) const;

  /// Changes that are written together: all of them, or none.
  struct batch {
    std::vector<std::pair<uint64_t, const stored_keyframe*>> puts{}; ///< under numbers that nothing had before
    std::vector<uint64_t> erases{};
    std::vector<std::pair<uint64_t, pose>> moves{};
    [[nodiscard]] bool empty() const { return puts.empty() && erases.empty() && moves.empty(); }
  };
  /// Writes, and waits until the disk has it. Throws std::system_error, having changed nothing; after a crash what was being put
  /// may be there all the same.
  void write(const batch& changes);

  /// Whether the disk has room for so many bytes more, and for what must still be written when it is full: erasures, and what is
  /// in memory. Throws std::system_error.
  [[nodiscard]] bool has_room(uint64_t bytes) const;

  /// Gives the space of what was erased back to the disk, unless it is told to stop. Takes long. Threads: any, beside others.
  void compact(std::atomic<bool>& stop);

  [[nodiscard]] uint64_t disk_bytes() const;
  [[nodiscard]] uint64_t memory_bytes() const;

private:
  struct database;
  void open();
  void check_format();
  void reopen();

  const std::string folder_;
  const uint64_t memory_bytes_;
  const access how_;
  mutable std::shared_mutex gate_; ///< nobody reads while it is opened again
  std::unique_ptr<database> db_;
  uint64_t reserve_ = 0;           ///< of the disk, for what must still be written when it is full
  bool broken_ = false;            ///< since something could not be written; RocksDB must be opened again
  std::vector<uint64_t> doubtful_; ///< puts that failed, and that the log may hold all the same
};

/// Moves a journal out of the way, if there is one: the folder is renamed with the time. Answers its new name, or nothing. Throws
/// journal_error if it is in use, or cannot be moved.
std::optional<std::string> set_journal_aside(const std::string& folder);

} // namespace tessera
