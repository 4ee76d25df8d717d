#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace tessera::testing {

/// A shared memory name of this process's own, and a producer that does what it likes under it. Cleans up.
class shm_name {
public:
  explicit shm_name(std::string prefix = own_prefix(), std::string id = {}) : key_(prefix + (id.empty() ? next() : id)) {}
  ~shm_name() { unlink(); }
  shm_name(const shm_name&) = delete;
  shm_name& operator=(const shm_name&) = delete;

  /// A prefix that nobody else uses.
  static std::string own_prefix() { return "/tessera_test_" + std::to_string(getpid()) + "_" + next() + "_"; }

  [[nodiscard]] const std::string& key() const { return key_; }
  [[nodiscard]] std::string path() const { return "/dev/shm" + key_; }
  [[nodiscard]] bool exists() const { return access(path().c_str(), F_OK) == 0; }
  void unlink() const { ::unlink(path().c_str()); }

  /// Writes it under another name, and renames it into place, as producers do: what is written in place may be read half written
  /// when the writer is held up.
  void write(const std::vector<std::byte>& bytes) const {
    const shm_name hidden;
    hidden.write_in_place(bytes);
    hidden.rename_to(*this);
  }
  /// Writes it anew, or over what is there.
  void write_in_place(const std::vector<std::byte>& bytes) const {
    int file = shm_open(key_.c_str(), O_CREAT | O_RDWR | O_TRUNC, 0600);
    if (file < 0 || ::write(file, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
      throw std::runtime_error("cannot write " + key_);
    close(file);
  }
  void rename_to(const shm_name& other) const {
    if (::rename(path().c_str(), other.path().c_str()) != 0)
      throw std::runtime_error("cannot rename " + key_);
  }
  void truncate(size_t bytes) const {
    if (::truncate(path().c_str(), static_cast<off_t>(bytes)) != 0)
      throw std::runtime_error("cannot truncate " + key_);
  }
  /// As if it had been left alone for a while.
  void settle() const {
    timespec times[2] = {{0, UTIME_OMIT}, {1'000'000'000, 0}};
    if (utimensat(AT_FDCWD, path().c_str(), times, 0) != 0)
      throw std::runtime_error("cannot set the time of " + key_);
  }
  /// As a producer does that keeps its mapping.
  void overwrite_mapped(const std::vector<std::byte>& bytes) const {
    int file = shm_open(key_.c_str(), O_RDWR, 0);
    void* at = mmap(nullptr, bytes.size(), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (at == MAP_FAILED)
      throw std::runtime_error("cannot map " + key_);
    std::memcpy(at, bytes.data(), bytes.size());
    munmap(at, bytes.size());
  }

private:
  static std::string next() {
    static std::atomic<int> number = 0;
    return std::to_string(number++);
  }
  std::string key_;
};

} // namespace tessera::testing
