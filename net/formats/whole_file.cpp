#include "net/formats/whole_file.hpp"

#include <cerrno>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <unistd.h>

namespace tessera {

namespace {

/// Takes a file away again that did not become whole.
class part_file {
public:
  explicit part_file(std::filesystem::path path) : path_(std::move(path)) {}
  ~part_file() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  part_file(const part_file&) = delete;
  part_file& operator=(const part_file&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
  const std::filesystem::path path_;
};

[[noreturn]] void fail(const std::filesystem::path& what, int code) {
  throw std::system_error(code, std::generic_category(), "cannot write " + what.string());
}

} // namespace

void write_whole_file(const std::filesystem::path& file, const std::function<void(std::ostream&)>& write) {
  auto name = file;
  name += ".part" + std::to_string(::getpid());
  const part_file part(name);
  {
    std::ofstream out{part.path(), std::ios::binary | std::ios::trunc};
    if (!out)
      fail(part.path(), errno);
    write(out);
    out.close();
    if (!out)
      fail(part.path(), errno);
  }
  std::error_code renamed;
  std::filesystem::rename(part.path(), file, renamed);
  if (renamed)
    fail(file, renamed.value());
}

void check_output(const std::filesystem::path& file, const std::string& extension) {
  if (file.extension() != extension)
    throw std::invalid_argument("output is '" + file.string() + "', which does not end in " + extension);
  if (std::filesystem::is_directory(file))
    throw std::invalid_argument("output is '" + file.string() + "', which is a folder");
  check_folder_of(file);
}

void check_folder_of(const std::filesystem::path& file) {
  if (const auto folder = std::filesystem::absolute(file).parent_path(); ::access(folder.c_str(), W_OK) != 0)
    throw std::system_error(errno, std::generic_category(), "cannot write into " + folder.string());
}

} // namespace tessera
