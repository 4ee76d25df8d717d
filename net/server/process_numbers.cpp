#include "net/server/process_numbers.hpp"

#include <fstream>
#include <sstream>
#include <string>

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

namespace tessera {

namespace {

double boot_time_s() {
  std::ifstream in{"/proc/stat"};
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("btime "))
      return std::stod(line.substr(6));
  return 0;
}

uint64_t count_fds() {
  auto* folder = opendir("/proc/self/fd");
  if (folder == nullptr)
    return 0;
  uint64_t n = 0;
  while (auto* entry = readdir(folder))
    n += entry->d_name[0] != '.';
  closedir(folder);
  return n - (n > 0); // the folder itself was open
}

} // namespace

process_numbers read_process_numbers() {
  process_numbers out;
  std::ifstream in{"/proc/self/stat"};
  std::string all{std::istreambuf_iterator<char>{in}, {}};
  // The second field is a name in parentheses that may hold anything; the third follows the last ')'.
  if (auto end = all.rfind(')'); end != all.npos) {
    std::istringstream fields{all.substr(end + 2)};
    std::string skipped;
    auto skip = [&](int n) {
      for (int i = 0; i < n; ++i)
        fields >> skipped;
    };
    uint64_t user = 0, system = 0, start = 0, resident_pages = 0;
    skip(11);
    fields >> user >> system;
    skip(4);
    fields >> out.threads;
    skip(1);
    fields >> start >> out.virtual_bytes >> resident_pages;
    auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    static const auto boot_s = boot_time_s();
    out.cpu_s = static_cast<double>(user + system) / ticks;
    out.start_s = boot_s + static_cast<double>(start) / ticks;
    out.resident_bytes = resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGE_SIZE));
  }
  out.open_fds = count_fds();
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
    out.max_fds = limit.rlim_cur;
  return out;
}

void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    // Without it the server serves fewer connections, and says so when they run out.
    (void)setrlimit(RLIMIT_NOFILE, &limit);
  }
}

} // namespace tessera
