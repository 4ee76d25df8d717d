#pragma once

#include "net/base/descriptor.hpp"
#include "net/base/shortage.hpp"
#include "net/sources/shm/segment_file.hpp"

#include <dirent.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace tessera {

/// A folder under inotify. Its descriptors are open from the start: what uses up the others later does not stop it.
class folder_watch {
public:
  folder_watch() : file_(inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
    constexpr uint32_t events = IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB;
    if (file_.valid())
      folder_.reset(opendir(shm_folder));
    if (folder_ && inotify_add_watch(file_.get(), shm_folder, events | IN_ONLYDIR) >= 0)
      return;
    const auto error = errno;
    const auto text = std::string("cannot watch ") + shm_folder + ": " + std::strerror(error);
    if (is_shortage(error))
      throw shortage_error(text
                           + "; are descriptors left (ulimit -n), and are fs.inotify.max_user_instances and max_user_watches "
                             "large enough?");
    throw std::runtime_error(text + "; is it mounted?");
  }
  [[nodiscard]] int fd() const { return file_.get(); }

  /// Calls on_event(name, mask) for each event that is there; returns false if events were lost.
  template <class F>
  bool read(F on_event) {
    alignas(inotify_event) std::array<char, 64 * (sizeof(inotify_event) + NAME_MAX + 1)> buffer;
    bool whole = true;
    for (;;) {
      auto n = ::read(file_.get(), buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return whole;
      for (char* at = buffer.data(); at < buffer.data() + n;) {
        const auto* event = reinterpret_cast<const inotify_event*>(at);
        if (event->mask & IN_Q_OVERFLOW)
          whole = false;
        else if (event->len > 0)
          on_event(std::string_view(event->name), event->mask);
        at += sizeof(inotify_event) + event->len;
      }
    }
  }

  /// Calls on_file(name, state) for each file that is there.
  template <class F>
  void list(F on_file) {
    rewinddir(folder_.get());
    while (const auto* entry = readdir(folder_.get())) {
      struct stat s {};
      if (fstatat(dirfd(folder_.get()), entry->d_name, &s, AT_SYMLINK_NOFOLLOW) == 0)
        on_file(std::string_view(entry->d_name), s);
    }
  }

private:
  struct closer {
    void operator()(DIR* d) const { closedir(d); }
  };
  descriptor file_;
  std::unique_ptr<DIR, closer> folder_;
};

} // namespace tessera
