#include "config/resolve.hpp"

#include "config/error.hpp"
#include "config/nearest.hpp"
#include "config/toml.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace tessera::config {

namespace {

/// Names that begin like settings and are none: the settings file, and what tests are told.
constexpr std::string_view other_names[] = {"TESSERA_CONFIG", "TESSERA_BIN", "TESSERA_SHARED", "TESSERA_REQUIRE_ALL"};

constexpr size_t max_file_bytes = size_t{1} << 20;

/// What the environment says of a setting: its own name first, then the names that other services use. Empty counts as not set.
std::optional<given> from_environment(const setting& row, const environment& variables, std::vector<std::string>& warnings) {
  std::optional<given> found;
  const auto look = [&](const std::string& name) {
    const auto text = variables(name);
    if (!text || text->empty())
      return;
    if (!found)
      found = given{*text, "environment " + name};
    else if (found->text != *text)
      warnings.push_back(name + " has no effect: " + found->where.substr(found->where.find(' ') + 1) + " is set too, and wins");
  };
  look(environment_name(row));
  for (auto alias : row.aliases)
    look(std::string(alias));
  return found;
}

std::string text_of(float value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

void check_together(const settings& s) {
  if (s.voxel_m && s.truncation_m) {
    const auto voxels = *s.truncation_m / *s.voxel_m;
    if (!(voxels > 0.999f && voxels < 16.001f))
      throw error("truncation: " + text_of(*s.truncation_m) + " m is " + text_of(voxels) + " voxels of " + text_of(*s.voxel_m)
                  + " m, and must be 1 to 16");
  }
  if (!s.voxel_m && s.truncation_m)
    throw error("truncation: " + text_of(*s.truncation_m)
                + " m cannot be set while voxel-size is auto, which makes it three voxels");
  const auto one_follows = !s.voxel_m && (s.min_range_is_default || s.max_range_is_default);
  if (s.min_range_m >= s.max_range_m && !one_follows)
    throw error("min-range: " + text_of(s.min_range_m) + " m is not below max-range, " + text_of(s.max_range_m) + " m");
  if (s.port != 0 && s.port == s.metrics_port)
    throw error("metrics-port: " + std::to_string(s.metrics_port) + " is port's too; give it another, or 0 for any free one");
  if (s.tls_cert.empty() != s.tls_key.empty())
    throw error(s.tls_key.empty() ? "tls-cert: it is set, and tls-key is not; TLS needs both"
                                  : "tls-key: it is set, and tls-cert is not; TLS needs both");
  if (!s.amqp_url.empty() && !s.amqp_url.starts_with("amqp://") && !s.amqp_url.starts_with("amqps://"))
    throw error("amqp-url: the value given does not begin with amqp:// or amqps://");
  if (s.shm_prefix.front() != '/' || s.shm_prefix.find('/', 1) != std::string::npos)
    throw error("shm-prefix: \"" + s.shm_prefix + "\" must begin with / and hold no other /");
}

} // namespace

environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const auto* value = std::getenv(name.c_str());
    if (value == nullptr)
      return std::nullopt;
    return std::string(value);
  };
}

std::vector<std::string> process_names() {
  std::vector<std::string> names;
  for (auto** each = ::environ; each != nullptr && *each != nullptr; ++each) {
    const std::string_view line(*each);
    if (line.starts_with("TESSERA_"))
      names.emplace_back(line.substr(0, line.find('=')));
  }
  return names;
}

settings defaults() {
  settings out;
  for (const auto& row : table())
    assign(out, row, {std::string(row.fallback), "default"});
  return out;
}

resolved resolve(const layers& given) {
  resolved out{.values = defaults(), .warnings = {}};
  for (const auto& row : table()) {
    const std::string name(row.name);
    const auto variable = from_environment(row, given.variables, out.warnings);
    const auto flag = given.flags.find(name);
    const auto line = given.file.find(name);
    // Each layer is checked even if a stronger one hides it: what is wrong now is wrong when the flag is gone.
    auto set = false;
    if (line != given.file.end())
      assign(out.values, row, line->second), set = true;
    if (variable)
      assign(out.values, row, *variable), set = true;
    if (flag != given.flags.end())
      assign(out.values, row, flag->second), set = true;
    if (set && name == "min-range")
      out.values.min_range_is_default = false;
    if (set && name == "max-range")
      out.values.max_range_is_default = false;
  }
  check_together(out.values);
  for (const auto& name : given.names) {
    const auto ours
      = std::find(std::begin(other_names), std::end(other_names), name) != std::end(other_names)
        || std::any_of(table().begin(), table().end(), [&](const setting& s) { return environment_name(s) == name; });
    if (ours)
      continue;
    const auto* meant = find(nearest_name(std::string_view(name).substr(std::string_view("TESSERA_").size())));
    out.warnings.push_back(name + " has no effect: there is no such setting"
                           + (meant == nullptr ? "" : did_you_mean(environment_name(*meant))));
  }
  for (const auto& [name, why] : ineffective_names())
    if (const auto text = given.variables(std::string(name)); text && !text->empty())
      out.warnings.push_back(std::string(name) + " has no effect: " + std::string(why));
  return out;
}

std::map<std::string, given> read_file(const std::string& path) {
  const auto refuse = [&](const std::string& why) { throw error("settings file " + path + ": " + why); };
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) // which opens, and reads as if it were empty
    refuse("it is a folder, not a file");
  std::ifstream in(path, std::ios::binary);
  if (!in)
    refuse(std::strerror(errno));
  // A pipe is welcome, a device that never ends is not.
  std::string text(max_file_bytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  if (in.bad())
    refuse("it cannot be read");
  if (text.size() > max_file_bytes)
    refuse("it has more than " + std::to_string(max_file_bytes) + " bytes, which no settings file has");
  std::istringstream lines(text);
  return read_toml(lines, path);
}

} // namespace tessera::config
