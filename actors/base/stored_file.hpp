#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace tessera {

/// A file that is open, and closed with this. All throw std::system_error with the file's name.
class stored_file {
public:
  /// `flags` as open(2) has them. A file that it makes is for its owner alone.
  stored_file(const std::string& path, int flags);
  ~stored_file();
  stored_file(const stored_file&) = delete;
  stored_file& operator=(const stored_file&) = delete;

  /// Its first bytes: fewer, if it has no more.
  [[nodiscard]] std::vector<std::byte> read(size_t bytes) const;
  [[nodiscard]] std::vector<std::byte> read_all() const { return read(size()); }
  void write(std::span<const std::byte> bytes) const;
  void sync() const;
  [[nodiscard]] size_t size() const;
  [[nodiscard]] uint64_t inode() const;

private:
  const std::string path_;
  const int fd_;
};

/// Has the disk keep what was made or renamed in a folder. One that may not be read cannot be synced by anybody, and some file
/// systems need it not: then it returns, too. Throws std::system_error.
void sync_folder(const std::string& folder);

/// Puts a file in the place of what is there, whole or not at all, also if power fails. `make` is given its inode. Throws
/// std::system_error, and whatever `make` throws; then nothing has changed.
void replace_file(const std::string& path, const std::function<std::vector<std::byte>(uint64_t inode)>& make);

} // namespace tessera
