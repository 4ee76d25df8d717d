#pragma once
// `tessera serve` as a child process of a benchmark.

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace tessera::bench {

/// Processor time so far, and whose it is.
struct cpu_time {
  std::string name;
  double seconds = 0;
};

/// Of a process or a thread, as its file `stat` tells.
inline cpu_time cpu_of(const std::string& stat) {
  std::ifstream in(stat);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  const auto begin = text.find('('), end = text.rfind(')'); // the name between may hold anything
  if (begin == std::string::npos || end == std::string::npos)
    return {};
  std::istringstream fields(text.substr(end + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i)
    fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  return {text.substr(begin + 1, end - begin - 1), (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK))};
}

/// A running service on free ports of 127.0.0.1. It ends with this object, and with this process, however that ends.
class child_service {
public:
  /// Starts `binary serve --port 0 --metrics-port 0 ARGUMENTS...`, without any setting from the environment, and waits until it
  /// listens. Throws std::runtime_error with what it said if it does not within the limit.
  child_service(const std::string& binary, const std::vector<std::string>& arguments,
                std::chrono::seconds limit = std::chrono::seconds{120}) {
    start(binary, arguments);
    reader_ = std::thread([this] { read(); });
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, limit, [&] { return metrics_port_ != 0 || ended_; });
    if (metrics_port_ != 0)
      return;
    lock.unlock();
    end();
    throw std::runtime_error(binary + " serve did not say where it listens; it said:\n" + last_words());
  }
  child_service(const child_service&) = delete;
  child_service& operator=(const child_service&) = delete;
  ~child_service() { end(); }

  [[nodiscard]] uint16_t port() const { return port_; }
  [[nodiscard]] uint16_t metrics_port() const { return metrics_port_; }
  [[nodiscard]] bool alive() {
    std::lock_guard lock(mutex_);
    return !ended_;
  }

  /// The end of what it printed.
  [[nodiscard]] std::string last_words() {
    std::lock_guard lock(mutex_);
    std::string all;
    for (const auto& line : said_)
      all += line + '\n';
    return all;
  }

  /// Processor time that it took so far, of all its threads.
  [[nodiscard]] double cpu_s() const { return cpu_of("/proc/" + std::to_string(pid_) + "/stat").seconds; }

  [[nodiscard]] pid_t process() const { return pid_; }

  [[nodiscard]] uint64_t resident_bytes() const {
    std::ifstream in("/proc/" + std::to_string(pid_) + "/statm");
    uint64_t all = 0, resident = 0;
    in >> all >> resident;
    return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  }

  /// Ends it as an operator would, and by force 15 s later. Returns its exit status; -1 if it had to be forced.
  int end() {
    if (pid_ <= 0)
      return status_;
    ::kill(pid_, SIGTERM);
    int raw = 0;
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{15};
    while (::waitpid(pid_, &raw, WNOHANG) == 0) {
      if (std::chrono::steady_clock::now() > until) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, &raw, 0);
        break;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds{10});
    }
    pid_ = 0;
    status_ = WIFEXITED(raw) ? WEXITSTATUS(raw) : -1;
    if (reader_.joinable())
      reader_.join();
    return status_;
  }

private:
  static bool is_setting(const char* variable) {
    for (const char* prefix : {"TESSERA_", "MESH_", "SLAM3R_", "RABBITMQ_", "LOG_LEVEL="})
      if (std::strncmp(variable, prefix, std::strlen(prefix)) == 0)
        return true;
    return false;
  }

  void start(const std::string& binary, const std::vector<std::string>& arguments) {
    std::vector<std::string> words{binary, "serve", "--port", "0", "--metrics-port", "0"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv, env;
    for (auto& word : words)
      argv.push_back(word.data());
    argv.push_back(nullptr);
    for (char** each = environ; *each != nullptr; ++each)
      if (!is_setting(*each))
        env.push_back(*each);
    env.push_back(nullptr);
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
      throw std::runtime_error(std::string("cannot make a pipe: ") + std::strerror(errno));
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGTERM);
      ::dup2(ends[1], STDOUT_FILENO);
      ::dup2(ends[1], STDERR_FILENO);
      ::execve(binary.c_str(), argv.data(), env.data());
      constexpr char failed[] = "cannot be started\n";
      [[maybe_unused]] auto written = ::write(STDERR_FILENO, failed, sizeof failed - 1);
      ::_exit(127);
    }
    ::close(ends[1]);
    output_ = ends[0];
    if (pid_ < 0) {
      ::close(output_);
      throw std::runtime_error(std::string("cannot start ") + binary + ": " + std::strerror(errno));
    }
  }

  void read() {
    std::string line;
    char bytes[4096];
    for (;;) {
      const auto got = ::read(output_, bytes, sizeof bytes);
      if (got < 0 && errno == EINTR)
        continue;
      if (got <= 0)
        break;
      for (ssize_t i = 0; i < got; ++i)
        if (bytes[i] == '\n')
          hear(std::exchange(line, {}));
        else
          line += bytes[i];
    }
    ::close(output_);
    std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }

  void hear(std::string line) {
    // http://127.0.0.1:PORT/ with or without more behind it
    const auto port_in = [&](const char* begin) -> uint16_t {
      if (line.rfind(begin, 0) != 0)
        return 0;
      const auto colon = line.find(':', line.find("//"));
      return colon == std::string::npos ? uint16_t{0} : static_cast<uint16_t>(std::atoi(line.c_str() + colon + 1));
    };
    std::lock_guard lock(mutex_);
    if (const auto found = port_in("listening on http"))
      port_ = found;
    if (const auto found = port_in("metrics on http"))
      metrics_port_ = found;
    said_.push_back(std::move(line));
    if (said_.size() > 50)
      said_.pop_front();
    changed_.notify_all();
  }

  pid_t pid_ = 0;
  int output_ = -1, status_ = 0;
  uint16_t port_ = 0, metrics_port_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> said_;
  bool ended_ = false;
  std::thread reader_;
};

} // namespace tessera::bench
