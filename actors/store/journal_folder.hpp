#pragma once
// The folder of a journal, seen from outside: what is in it, whose it is, that it is there after a loss of power.

#include <optional>
#include <stdexcept>
#include <string>

namespace rocksdb {
class FileLock;
}

namespace tessera {

/// A journal that cannot be used: says which, why, and what to do.
class journal_error : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

/// What a folder has of a journal.
enum class journal_state {
  none,    ///< at most what is left of one that was being made when the process ended
  whole,   ///< its file CURRENT, which leads to all others
  headless ///< records, and no CURRENT: it was lost. RocksDB would take the folder for a new one, and remove them.
};

/// What to do about a journal that cannot be read or written, if another user made it or something in its folder; else empty.
std::string advice_on_owner(const std::string& folder);

/// Gives what root made in a journal's folder, and below it, to the folder's owner, so that his service goes on with it. Does
/// nothing as another user. Throws journal_error.
void give_to_owner(const std::string& folder);

/// Touches nothing.
journal_state journal_state_of(const std::string& folder);

/// Makes a folder for a journal, if it is not there, so that it is there after a loss of power. Throws journal_error if it cannot
/// be made, or holds other things and no journal.
void make_journal_folder(const std::string& folder);

/// Moves a journal out of the way, if there is one: the folder is renamed with the time. Answers its new name, or nothing. Throws
/// journal_error if it is in use, or cannot be moved.
std::optional<std::string> set_journal_aside(const std::string& folder);

/// The lock that RocksDB itself takes while a journal is open for writing.
class journal_lock {
public:
  /// Throws journal_error if another has it, or it cannot be had at all.
  explicit journal_lock(const std::string& folder);
  ~journal_lock();
  journal_lock(const journal_lock&) = delete;
  journal_lock& operator=(const journal_lock&) = delete;

private:
  rocksdb::FileLock* lock_ = nullptr;
};

} // namespace tessera
