#pragma once
// Tests that are run by others, in a process of their own.

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include <unistd.h>

namespace tessera::toy {

/// Starts this program again for one hidden test: RocksDB's threads do not live on in a fork. `prepare` is called in the child.
inline constexpr int cannot_start = 77, told_fd = 42;
inline constexpr const char* folder_name = "TESSERA_TEST_FOLDER";

template <class Prepare>
pid_t start(const char* test, const std::string& folder, Prepare prepare) {
  const auto child = ::fork();
  REQUIRE(child >= 0);
  if (child != 0)
    return child;
  ::setenv(folder_name, folder.c_str(), 1);
  if (prepare())
    ::execl("/proc/self/exe", "test", test, nullptr);
  ::_exit(cannot_start);
}

/// The folder that a hidden test was given. It is one only by its parent, which sees by a file beside the folder that it came to
/// its end: a name that Catch2 does not find is no failure to it.
inline std::filesystem::path child_folder() {
  const auto* folder = std::getenv(folder_name);
  if (folder == nullptr)
    throw std::runtime_error("this is no test by itself");
  return folder;
}

inline void note_the_end() {
  std::ofstream{child_folder().parent_path() / "ended"} << "yes";
}

} // namespace tessera::toy
