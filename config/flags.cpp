#include "config/flags.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>

namespace tessera::config {

namespace {

/// The word for a flag's value in its help.
std::string placeholder(const setting& row) {
  if (!row.choices.empty())
    return "WORD";
  const auto text = std::holds_alternative<std::string settings::*>(row.value);
  auto out = text ? std::string("TEXT") : row.unit == "bytes" ? "BYTES" : row.unit == "m" ? "M" : "N";
  if (!row.word.empty())
    out += '|' + std::string(row.word);
  return out;
}

std::string description(const setting& row) {
  auto out = std::string(row.help) + ". [" + bounds_text(row) + "; default ";
  out += row.fallback.empty() ? "none" : std::string(row.fallback);
  out += "; " + environment_name(row);
  for (auto alias : row.aliases)
    out += ", " + std::string(alias);
  return out + ']';
}

void add_flag(CLI::App& command, const setting& row, std::map<std::string, given>& flags) {
  const std::string name(row.name);
  const auto group = "Settings: " + std::string(row.group);
  if (std::holds_alternative<bool settings::*>(row.value)) {
    const auto set = [&flags, name](std::int64_t count) {
      flags[name] = count > 0 ? given{"true", "--" + name} : given{"false", "--no-" + name};
    };
    command.add_flag_function("--" + name + ",!--no-" + name, set, description(row))->group(group);
    return;
  }
  const auto set = [&flags, name](const std::string& text) { flags[name] = {text, "--" + name}; };
  command.add_option_function<std::string>("--" + name, set, description(row))
    ->group(group)
    ->type_name(placeholder(row))
    ->expected(1)
    ->take_last();
}

} // namespace

void add_flags(CLI::App& command, std::initializer_list<std::string_view> groups, std::map<std::string, given>& flags,
               std::string& file) {
  command.add_option("--config", file, "Settings file; `tessera settings` prints one with all defaults")
    ->envname("TESSERA_CONFIG")
    ->type_name("FILE");
  for (const auto& row : table())
    if (std::find(groups.begin(), groups.end(), row.group) != groups.end())
      add_flag(command, row, flags);
}

} // namespace tessera::config
