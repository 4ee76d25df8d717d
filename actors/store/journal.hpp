#pragma once

#include "actors/store/journal_folder.hpp"
#include "actors/store/journal_record.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

namespace rocksdb {
class Status;
}

namespace tessera {

/// The live keyframes on disk, with all that their part of the map can be made of again: a folder that RocksDB keeps, with what
/// it checks and compresses. What is written is durable when write() returns. docs/journal.md.
///
/// Threads: any write, one after the other, and read meanwhile.
class journal {
public:
  enum class access {
    serve,   ///< to write and read; what is not there is made
    change,  ///< likewise, but there must be a journal
    look,    ///< to read; there must be a journal, and nobody else may use it
    salvage, ///< as change, but of a damaged log what comes before the damage is kept
  };

  /// Opens the journal in a folder, alone. `memory_bytes` bounds what RocksDB holds. Throws journal_error: the folder cannot be
  /// written, another process uses it, it holds something else, a newer program wrote it, or it is damaged. Whatever there is in
  /// the folder is only read until all this is known, and untouched if it throws.
  journal(std::string folder, uint64_t memory_bytes, access how = access::serve);
  ~journal();

  [[nodiscard]] const std::string& folder() const { return folder_; }

  /// The format that is stored in it: journal_format, once it has been opened for writing. 0 if nothing is in it.
  [[nodiscard]] uint32_t format() const { return format_; }

  /// What its keyframes' rays were made with; nothing if it is new.
  [[nodiscard]] std::optional<map_settings> map() const;
  void set_map(const map_settings& map);

  struct kept {
    uint64_t number; ///< larger than that of all before it
    kept_keyframe what;
  };
  /// All keyframes without their rays, oldest first. Throws journal_error if they cannot be read.
  [[nodiscard]] std::vector<kept> keyframes() const;

  struct kept_gone {
    uint64_t number; ///< larger than that of all before it
    gone_id what;
  };
  /// Ids of which something is known though no keyframe is under them, oldest first. Throws as keyframes().
  [[nodiscard]] std::vector<kept_gone> gone() const;

  /// A keyframe with its rays. Throws damaged_keyframe if its record is not there or not what was written, std::system_error if
  /// it cannot be read now, std::bad_alloc.
  [[nodiscard]] stored_keyframe read(uint64_t number) const;

  /// All that are in quarantine, in any order. Throws as keyframes().
  [[nodiscard]] std::vector<quarantined_keyframe> quarantined() const;
  /// Keyframes that came into quarantine, and ids of those that go from it, written together, as write() does.
  void write_quarantine(const std::vector<const quarantined_keyframe*>& come, const std::vector<keyframe_id>& go);

  /// Changes that are written together: all of them, or none.
  struct batch {
    std::vector<std::pair<uint64_t, const stored_keyframe*>> puts{}; ///< under numbers that nothing had before
    std::vector<uint64_t> erases{};
    std::vector<std::pair<uint64_t, keyframe_place>> moves{};
    std::vector<std::pair<uint64_t, gone_id>> gone{}; ///< under numbers of their own
    std::vector<uint64_t> gone_no_more{};             ///< after those
    [[nodiscard]] bool empty() const {
      return puts.empty() && erases.empty() && moves.empty() && gone.empty() && gone_no_more.empty();
    }
  };
  /// Writes, and waits until the disk has it. Throws std::system_error or std::bad_alloc, having changed nothing; after a crash
  /// what was being put may be there all the same. More than buffer_bytes() together takes that much memory more.
  void write(const batch& changes);
  [[nodiscard]] uint64_t buffer_bytes() const { return buffer_bytes_; }

  /// Closes RocksDB and opens it again; compact() ends early. write() does so by itself after it failed. Throws std::system_error
  /// if there is no room for it, or it cannot be opened now: then nothing can be read until it is done again.
  void reopen();
  /// The same if that failed before; else nothing.
  void open_if_closed();

  /// Whether the disk has room for so many bytes more, and for what must still be written when it is full: erasures, what is in
  /// memory, and what compact() has begun. Throws std::system_error.
  [[nodiscard]] bool has_room(uint64_t bytes) const;

  /// Gives the space of what was erased back to the disk, which takes long, and room for what lives beside it. False if it was
  /// ended early. Throws std::system_error if there is no room, or the disk fails: what it did not give back takes space as
  /// before. Threads: any, one at a time, beside others.
  bool compact();
  /// compact() ends soon, and whenever it is begun again.
  void end_compacting();
  /// Bytes that compact() may still write beside what is there.
  [[nodiscard]] uint64_t to_compact() const { return to_compact_; }

  /// Bytes on the disk of rays that were erased, where so many records of at least blob_bytes live (blobs_of()). RocksDB counts
  /// records, not whose they are, so that it is true if all are alike; and knows those in files, as all are right after opening.
  [[nodiscard]] uint64_t erased_bytes(uint64_t live) const;
  static constexpr uint64_t blob_bytes = 1024;
  /// What a ray takes on the disk, on average (docs/journal.md).
  static constexpr uint64_t disk_bytes_a_ray = 7;
  /// How many of a keyframe's records have at least blob_bytes, near enough.
  [[nodiscard]] static uint64_t blobs_of(const kept_keyframe& kept);

  /// Of all files; 0 if the folder cannot be looked into.
  [[nodiscard]] uint64_t disk_bytes() const noexcept;
  [[nodiscard]] uint64_t memory_bytes() const;

private:
  struct database;
  [[noreturn]] void damaged(const std::string& what) const;
  [[noreturn]] void log_damaged(const std::string& what) const;
  void check(const rocksdb::Status& status) const;
  void open(bool read_only, bool make);
  void check_format();
  void check_logs() const;
  void check_files() const;
  void put(std::string_view key, const record_bytes& value);
  void open_again();
  /// Calls `enter(number, value)` for each record of a letter, in the order of their numbers.
  template <class Enter>
  void each(char what, Enter enter) const;

  const std::string folder_;
  const uint64_t memory_bytes_;
  const access how_;
  uint32_t format_ = 0;
  uint64_t buffer_bytes_ = 0;
  std::mutex writing_;             ///< taken before the gate
  mutable std::shared_mutex gate_; ///< nobody reads or compacts while it is opened again
  std::atomic<uint64_t> to_compact_{0};
  std::atomic<bool> cancel_{false};        ///< what is being compacted
  std::atomic<bool> no_compacting_{false}; ///< any more
  std::unique_ptr<database> db_;           ///< null if it could not be opened again
  bool broken_ = false;                    ///< since something could not be written; RocksDB must be opened again
  ray_packer pack_rays_;                   ///< of write()
  std::vector<uint64_t> doubtful_;         ///< puts that failed, and that the log may hold all the same
};

} // namespace tessera
