#include "net/sources/shm/abandoned_segments.hpp"

#include "net/clients/cpp/producer.hpp"
#include "net/sources/shm/shm_segment.hpp"

#include <spdlog/spdlog.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>
#include <memory>
#include <string_view>

namespace tessera {

namespace {

struct closer {
  void operator()(DIR* d) const { closedir(d); }
};

void remove_moved_aside() {
  constexpr time_t old_enough_s = 60; // it takes microseconds
  const std::unique_ptr<DIR, closer> folder(opendir(shm_folder));
  if (!folder)
    return;
  while (const auto* entry = readdir(folder.get())) {
    struct stat s {};
    if (std::string_view(entry->d_name).starts_with(aside_prefix)
        && fstatat(dirfd(folder.get()), entry->d_name, &s, AT_SYMLINK_NOFOLLOW) == 0
        && time(nullptr) - s.st_ctim.tv_sec > old_enough_s)
      unlinkat(dirfd(folder.get()), entry->d_name, 0);
  }
}

} // namespace

void remove_abandoned_segments() {
  remove_moved_aside();
  if (const auto files = producer::remove_abandoned(shm_folder); files > 0)
    spdlog::info("removed {} half-written segments of producers that are gone", files);
}

} // namespace tessera
