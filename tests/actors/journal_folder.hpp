#pragma once
// A journal in a temporary folder, and what its files hold.

#include "actors/store/journal_store.hpp"
#include "faulty_disk.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include <stdlib.h>

namespace tessera::toy {

/// A folder of its own, gone when the test is over.
class temporary_folder {
public:
  temporary_folder() {
    auto name = (std::filesystem::temp_directory_path() / "tessera-journal-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr)
      throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  ~temporary_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;
  [[nodiscard]] std::string operator/(const std::string& name) const { return (path_ / name).string(); }

private:
  std::filesystem::path path_;
};

inline constexpr uint64_t journal_memory = uint64_t{16} << 20;

inline std::shared_ptr<journal_store> open_store(const std::string& folder) {
  return std::make_shared<journal_store>(std::make_shared<journal>(folder, journal_memory));
}

/// The files of a folder whose names end so, by name.
inline std::vector<std::string> files_of(const std::string& folder, const std::string& ending) {
  std::vector<std::string> out;
  for (const auto& one : std::filesystem::directory_iterator{folder})
    if (one.path().string().ends_with(ending))
      out.push_back(one.path().string());
  std::sort(out.begin(), out.end());
  return out;
}

inline std::string content_of(const std::string& file) {
  std::ifstream in{file, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

/// Turns a bit over, so many bytes before the file's end.
inline void damage(const std::string& file, size_t before_end) {
  auto bytes = content_of(file);
  bytes.at(bytes.size() - before_end) ^= 0x10;
  std::ofstream{file, std::ios::binary} << bytes;
}

/// What an error says; empty if there is none.
template <class Try>
std::string told(Try what) {
  try {
    what();
    return {};
  } catch (const std::exception& e) {
    return e.what();
  }
}

inline bool says(const std::string& text, std::initializer_list<const char*> parts) {
  return std::all_of(parts.begin(), parts.end(), [&](const char* part) { return text.find(part) != std::string::npos; });
}

inline stored_keyframe whole(const std::string& id, size_t rays, uint32_t seed) {
  auto frame = a_frame(id, rays, seed);
  frame.came_with = frame.world_from_camera;
  return frame;
}

/// Puts keyframes of 400 KB, some in each file, and erases all but each third.
inline void put_and_erase(journal& kept, uint64_t count) {
  for (uint64_t number = 1; number <= count; ++number) {
    const auto frame = whole(std::to_string(number), 25'000, static_cast<uint32_t>(number));
    journal::batch one;
    one.puts.emplace_back(number, &frame);
    kept.write(one);
  }
  journal::batch most;
  for (uint64_t number = 1; number <= count; ++number)
    if (number % 3 != 0)
      most.erases.push_back(number);
  kept.write(most);
}

} // namespace tessera::toy
