#pragma once
// What a process may lack, for as long as one of these lives.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <stdexcept>
#include <vector>

namespace tessera::testing {

/// No descriptor is left to be opened, or so many; those that are open stay usable.
class no_descriptors {
public:
  explicit no_descriptors(size_t left = 0) {
    getrlimit(RLIMIT_NOFILE, &before_);
    int next = dup(STDERR_FILENO);
    close(next);
    rlimit few{static_cast<rlim_t>(next) + 16, before_.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &few) != 0)
      throw std::runtime_error("cannot set RLIMIT_NOFILE");
    for (int file = dup(STDERR_FILENO); file >= 0; file = dup(STDERR_FILENO))
      held_.push_back(file);
    for (; left > 0; --left) {
      close(held_.back());
      held_.pop_back();
    }
  }
  ~no_descriptors() { end(); }
  no_descriptors(const no_descriptors&) = delete;
  no_descriptors& operator=(const no_descriptors&) = delete;
  void end() {
    setrlimit(RLIMIT_NOFILE, &before_);
    for (int file : held_)
      close(file);
    held_.clear();
  }

private:
  rlimit before_{};
  std::vector<int> held_;
};

/// This thread is user 65534, if it may be at all (the process is root's). The system call changes one thread, the function of
/// the same name would change all.
class other_user {
public:
  other_user() : changed_(geteuid() == 0 && become(65534)) {}
  ~other_user() {
    if (changed_)
      become(0);
  }
  other_user(const other_user&) = delete;
  other_user& operator=(const other_user&) = delete;
  [[nodiscard]] bool changed() const { return changed_; }

private:
  static bool become(uid_t user) { return syscall(SYS_setresuid, -1, user, -1) == 0; }
  bool changed_;
};

} // namespace tessera::testing
