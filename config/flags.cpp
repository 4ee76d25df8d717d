#include "config/flags.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <memory>

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

/// What would be ` --unlink,--no-unlink{false}`, with the value that a flag stands for, is shown without it.
class plain_help final : public CLI::Formatter {
public:
  std::string make_option_name(const CLI::Option* option, bool is_positional) const override {
    auto name = CLI::Formatter::make_option_name(option, is_positional);
    for (auto begin = name.find('{'); begin != std::string::npos; begin = name.find('{'))
      name.erase(begin, name.find('}', begin) - begin + 1);
    return name;
  }
};

bool is_one_of(std::string_view group, const std::vector<std::string_view>& groups) {
  return std::find(groups.begin(), groups.end(), group) != groups.end();
}

void add_flag(CLI::App& command, const setting& row) {
  const std::string name = "--" + std::string(row.name);
  const auto help = description(row);
  // The text alone is kept: what it says is read as those of files and of the environment are, by the row.
  auto* option = std::holds_alternative<bool settings::*>(row.value)
                   ? command.add_flag(name + ",!--no-" + std::string(row.name), help)
                   : command.add_option(name, help)->type_name(placeholder(row))->expected(1)->take_last();
  option->group("Settings: " + std::string(row.group));
}

} // namespace

void add_flags(CLI::App& command, const std::vector<std::string_view>& groups, std::string& file) {
  command.add_option("--config", file, "Settings file; `tessera settings` prints one with all defaults")
    ->envname("TESSERA_CONFIG")
    ->type_name("FILE")
    ->check([](const std::string& path) { return path.empty() ? std::string("the name of the file is empty") : std::string{}; });
  for (const auto& row : table())
    if (is_one_of(row.group, groups))
      add_flag(command, row);
}

std::map<std::string, given> given_flags(const CLI::App& command, const std::vector<std::string_view>& groups) {
  std::map<std::string, given> out;
  for (const auto& row : table()) {
    if (!is_one_of(row.group, groups))
      continue;
    const auto name = "--" + std::string(row.name);
    if (const auto* option = command.get_option(name); option->count() > 0)
      out[std::string(row.name)] = {option->results().back(), name};
  }
  return out;
}

void use_plain_help(CLI::App& app) {
  app.formatter(std::make_shared<plain_help>());
}

} // namespace tessera::config
