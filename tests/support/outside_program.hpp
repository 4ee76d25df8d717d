#pragma once

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

namespace tessera::test {

/// A file that is gone after the test.
class scratch_file {
public:
  explicit scratch_file(const std::string& name)
    : path_{std::filesystem::temp_directory_path() / ("tessera-test-" + std::to_string(getpid()) + "-" + name)} {}
  ~scratch_file() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  scratch_file(const scratch_file&) = delete;
  scratch_file& operator=(const scratch_file&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  void write(std::span<const std::byte> bytes) const {
    std::ofstream out{path_, std::ios::binary};
    out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  [[nodiscard]] std::string read() const {
    std::ifstream in{path_, std::ios::binary};
    return {std::istreambuf_iterator<char>{in}, {}};
  }

private:
  std::filesystem::path path_;
};

struct program_result {
  int status = -1;
  std::string output;
};

/// Runs a command line of the shell; output and errors together.
inline program_result run_program(const std::string& line) {
  program_result out;
  auto* pipe = popen((line + " 2>&1").c_str(), "r");
  if (pipe == nullptr)
    return out;
  std::array<char, 4096> buffer{};
  while (auto n = fread(buffer.data(), 1, buffer.size(), pipe))
    out.output.append(buffer.data(), n);
  auto status = pclose(pipe);
  out.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return out;
}

inline bool is_installed(const std::string& program) {
  return run_program("command -v " + program).status == 0;
}

} // namespace tessera::test
