#include "actors/store/journal_folder.hpp"

#include "actors/base/stored_file.hpp"

#include <rocksdb/env.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <vector>

namespace tessera {

namespace fs = std::filesystem;

namespace {

/// Whether a name is a number and one of these endings, as RocksDB names its files.
bool is_numbered(std::string_view name, std::initializer_list<std::string_view> endings) {
  const auto digits = std::min(name.find_first_not_of("0123456789"), name.size());
  return digits > 0 && std::find(endings.begin(), endings.end(), name.substr(digits)) != endings.end();
}

bool is_record(std::string_view name) {
  return is_numbered(name, {".sst", ".blob", ".log"});
}

/// Whether a file may be what a RocksDB leaves that ended while it was being made.
bool is_beginning(std::string_view name) {
  static constexpr std::array begins{"LOCK", "LOG", "IDENTITY", "MANIFEST-", "OPTIONS-"};
  return is_numbered(name, {".dbtmp"})
         || std::any_of(begins.begin(), begins.end(), [&](const char* begin) { return name.starts_with(begin); });
}

/// The first name in a folder that is such; nothing if there is none, or the folder cannot be read.
template <class Such>
std::optional<std::string> find_in(const std::string& folder, Such such) {
  std::error_code code;
  for (fs::directory_iterator i{folder, code}, end; !code && i != end; i.increment(code))
    if (auto name = i->path().filename().string(); such(name))
      return name;
  return {};
}

/// The whole path, without a slash at its end.
fs::path plain(const std::string& folder) {
  const auto path = fs::absolute(folder).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

/// Throws journal_error.
void sync(const fs::path& folder) {
  try {
    sync_folder(folder.string());
  } catch (const std::system_error& e) {
    throw journal_error(e.what());
  }
}

} // namespace

std::string advice_on_owner(const std::string& folder) {
  const auto advice = [](const fs::path& one) -> std::string {
    struct stat its {};
    if (::lstat(one.c_str(), &its) != 0 || its.st_uid == ::geteuid() || ::geteuid() == 0)
      return {};
    return "; " + one.string() + " is of the user " + std::to_string(its.st_uid) + ", and this is " + std::to_string(::geteuid())
           + ": run as that one, give the folder to this one (chown -R), or name another folder (--journal)";
  };
  if (auto out = advice(folder); !out.empty())
    return out;
  std::string out;
  find_in(folder, [&](const std::string& name) {
    out = advice(fs::path{folder} / name);
    return !out.empty();
  });
  return out;
}

void give_to_owner(const std::string& folder) {
  struct stat its {};
  if (::geteuid() != 0 || ::stat(folder.c_str(), &its) != 0 || its.st_uid == 0)
    return;
  for (const auto& one : fs::recursive_directory_iterator{folder}) {
    // The folder is its owner's, who may have put anything into it: no links of either kind are followed.
    const auto fd = ::open(one.path().c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat found {};
    const bool ours = fd >= 0 && ::fstat(fd, &found) == 0 && found.st_uid == 0
                      && (S_ISDIR(found.st_mode) || (S_ISREG(found.st_mode) && found.st_nlink == 1));
    const auto failed = ours && ::fchown(fd, its.st_uid, its.st_gid) != 0 ? errno : 0;
    if (fd >= 0)
      ::close(fd);
    if (failed != 0)
      throw journal_error(one.path().string()
                          + " cannot be given to the journal's owner: " + std::generic_category().message(failed));
  }
}

journal_state journal_state_of(const std::string& folder) {
  if (find_in(folder, [](const std::string& name) { return name == "CURRENT"; }))
    return journal_state::whole;
  return find_in(folder, is_record) ? journal_state::headless : journal_state::none;
}

void make_journal_folder(const std::string& folder) {
  const auto path = plain(folder);
  std::vector<fs::path> changed{path.parent_path()};
  std::error_code code;
  for (auto above = path.parent_path(); above.has_relative_path() && !fs::exists(above, code); above = above.parent_path())
    changed.push_back(above.parent_path());
  fs::create_directories(path, code);
  if (!code && !fs::is_directory(path))
    code = std::make_error_code(std::errc::not_a_directory);
  if (code)
    throw journal_error("the journal " + folder + " cannot be made: " + code.message()
                        + ": name another folder (--journal), or none (--no-journal)");
  if (journal_state_of(folder) != journal_state::none)
    return;
  if (const auto other = find_in(folder, [](const std::string& name) { return !is_beginning(name); }))
    throw journal_error("the folder " + folder + " holds other things (" + *other
                        + ") and no journal: name an empty one, or one that is not there yet (--journal)");
  std::for_each(changed.begin(), changed.end(), sync);
}

std::optional<std::string> set_journal_aside(const std::string& folder) {
  if (journal_state_of(folder) == journal_state::none)
    return {};
  const journal_lock nobody_else{folder};
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> time{};
  std::strftime(time.data(), time.size(), "%Y-%m-%dT%H-%M-%SZ", &parts);
  auto from = fs::path{folder}.lexically_normal().string();
  while (from.size() > 1 && from.ends_with('/'))
    from.pop_back();
  auto name = from + '.' + time.data();
  for (int i = 2; fs::exists(name); ++i)
    name = from + '.' + time.data() + '.' + std::to_string(i);
  std::error_code code;
  fs::rename(from, name, code);
  if (code)
    throw journal_error("the journal " + folder + " cannot be renamed to " + name + ": " + code.message());
  sync(plain(name).parent_path());
  return name;
}

journal_lock::journal_lock(const std::string& folder) {
  const auto status = rocksdb::Env::Default()->LockFile(folder + "/LOCK", &lock_);
  if (status.ok())
    return;
  const auto text = status.ToString();
  // RocksDB has no code for it. Its other errors, of the file and of the folder, begin otherwise.
  if (text.starts_with("IO error: While lock file") || text.starts_with("IO error: lock hold by"))
    throw journal_error("the journal " + folder
                        + " is in use by another process: end that one, or name another folder (--journal). " + text);
  throw journal_error("the journal " + folder + " cannot be written: " + text + advice_on_owner(folder));
}

journal_lock::~journal_lock() {
  rocksdb::Env::Default()->UnlockFile(lock_);
}

} // namespace tessera
