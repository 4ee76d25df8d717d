#include "net/sources/rgbd/rgbd_sessions.hpp"

#include "messages/names.hpp"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <set>
#include <system_error>

namespace tessera {

namespace fs = std::filesystem;

namespace {

/// As it is called, without . and .. and a slash at its end.
fs::path plain(const std::string& folder) {
  std::error_code failed;
  const auto whole = fs::absolute(folder, failed);
  const auto path = (failed ? fs::path(folder) : whole).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

/// The last `parts` names of a path as a session. What is too long loses its beginning.
std::string session_of(const fs::path& path, size_t parts) {
  std::vector<std::string> names;
  for (const auto& one : path.relative_path())
    names.push_back(one.string());
  std::string text;
  for (size_t i = names.size() - std::min(parts, names.size()); i < names.size(); ++i)
    text += (text.empty() ? "" : "-") + names[i];
  const bool characters = is_utf8(text);
  for (char& c : text)
    if (const auto byte = static_cast<unsigned char>(c); byte < 32 || byte == 127 || c == '~' || (byte > 127 && !characters))
      c = '_';
  if (text.size() > keyframe_id::max_session_bytes)
    text.erase(0, text.size() - keyframe_id::max_session_bytes);
  while (!is_utf8(text)) // it begins within a character
    text.erase(0, 1);
  return text;
}

} // namespace

std::vector<std::string> rgbd_sessions(const std::vector<std::string>& folders) {
  if (folders.size() < 2)
    return std::vector<std::string>(folders.size());
  std::vector<fs::path> paths;
  std::ptrdiff_t longest = 1;
  for (const auto& one : folders) {
    paths.push_back(plain(one));
    longest = std::max(longest, std::distance(paths.back().begin(), paths.back().end()));
  }
  const std::set<fs::path> each(paths.begin(), paths.end());
  std::map<fs::path, std::string> names;
  std::set<std::string> different;
  for (std::ptrdiff_t parts = 1; parts <= longest && different.size() < each.size(); ++parts) {
    different.clear();
    for (const auto& path : each)
      different.insert(names[path] = session_of(path, static_cast<size_t>(parts)));
    different.erase("");
  }
  if (different.size() < each.size()) // they differ where there is no room for it
    for (size_t number = 0; auto& [path, name] : names)
      name = "folder-" + std::to_string(++number);
  std::vector<std::string> sessions;
  for (const auto& path : paths)
    sessions.push_back(names[path]);
  return sessions;
}

} // namespace tessera
