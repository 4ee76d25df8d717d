#include "config/usage.hpp"

#include "config/error.hpp"
#include "config/nearest.hpp"
#include "config/value.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>

namespace tessera::config {

namespace {

std::string see(const std::string& command) {
  return "; see: tessera " + (command.empty() ? "" : command + ' ') + "--help";
}

std::vector<std::string_view> commands_of(const CLI::App& app) {
  std::vector<std::string_view> out;
  for (const auto* command : app.get_subcommands([](const CLI::App*) { return true; }))
    out.push_back(command->get_name());
  return out;
}

std::string listed(const std::vector<std::string_view>& words) {
  std::string out;
  for (size_t i = 0; i < words.size(); ++i)
    out += (i == 0 ? "" : i + 1 == words.size() ? " or " : ", ") + std::string(words[i]);
  return out;
}

/// --name of an argument that may be --name=value.
std::string option_in(const std::string& argument) {
  return argument.substr(0, argument.find('='));
}

bool is_bool(const std::string& text) {
  try {
    parse_bool(text);
    return true;
  } catch (const std::invalid_argument&) {
    return false;
  }
}

/// An argument for people: of an address, which may hold a password or a token, the scheme alone.
std::string shown(const std::string& argument) {
  const auto mark = argument.find("://");
  return in_quotes(mark == std::string::npos ? argument : argument.substr(0, mark + 3) + "...");
}

std::string unexpected(const CLI::App& command, const std::string& argument) {
  if (!argument.starts_with('-'))
    return shown(argument) + " is one argument too many";
  const auto name = option_in(argument);
  if (name.starts_with("--") && find(name.substr(2)) != nullptr)
    return "tessera " + command.get_name() + " has no " + name
           + (command.get_name() == "publish" && name == "--token"
                ? ": give the service's token as TESSERA_TOKEN in the environment, or as ?token= in the address (--to)"
                : "");
  std::vector<std::string> there;
  for (const auto* option : command.get_options())
    there.push_back(option->get_name());
  const auto near = nearest(name, {there.begin(), there.end()});
  return "there is no option " + in_quotes(name) + did_you_mean(near);
}

/// The words, with each option's value as a word of its own. CLI11 would take what follows `--token=` or `--token` for the value,
/// also where that is the next option; and `--unlink false` for `--unlink` and a source.
std::vector<std::string> with_values_apart(const std::vector<std::string>& words, const CLI::App& command) {
  std::vector<std::string> out;
  for (size_t i = 0; i < words.size(); ++i) {
    const auto& word = words[i];
    if (word == "--") {
      out.insert(out.end(), words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
      break;
    }
    const auto name = option_in(word);
    const auto option_named = [&](const std::string& text) -> const CLI::Option* {
      return text.starts_with('-') && text.size() > 1 ? command.get_option_no_throw(text) : nullptr;
    };
    const auto* option = option_named(name);
    if (option == nullptr) {
      out.push_back(word);
      continue;
    }
    const auto* row = find(option->get_single_name());
    const auto has_value = word.size() > name.size();
    const auto* next = i + 1 < words.size() ? &words[i + 1] : nullptr;
    if (option->get_items_expected_min() > 0) {
      if (!has_value && (next == nullptr || option_named(option_in(*next)) != nullptr))
        throw error(name + " needs a value" + (row == nullptr ? "" : ": " + bounds_text(*row)) + see(command.get_name()));
      out.push_back(name);
      out.push_back(has_value ? word.substr(name.size() + 1) : words[++i]);
    } else if (has_value && row == nullptr) {
      throw error(name + " takes no value" + see(command.get_name()));
    } else if (has_value && word.size() == name.size() + 1) {
      throw error(std::string(row->name) + " (" + name + "): \"\" is not " + bounds_text(*row));
    } else if (!has_value && row != nullptr && next != nullptr && is_bool(*next)) {
      out.push_back(name + '=' + words[++i]);
    } else {
      out.push_back(word);
    }
  }
  return out;
}

} // namespace

std::vector<std::string> words_of(int argc, char** argv, const CLI::App& app) {
  std::vector<std::string> words(argv + std::min(1, argc), argv + argc);
  const auto commands = commands_of(app);
  if (words.empty())
    throw error("a command is missing: " + listed(commands) + see(""));
  if (words.front() == "help") {
    words.erase(words.begin(), std::find_if(words.begin(), words.end(), [](const auto& word) { return word != "help"; }));
    words.emplace_back("--help");
  } else if (words.front() == "version") {
    words.front() = "--version";
  }
  const auto first = words.front();
  const std::vector<std::string_view> alone{"-h", "--help", "-V", "--version"};
  if (std::find(alone.begin(), alone.end(), first) == alone.end()
      && std::find(commands.begin(), commands.end(), first) == commands.end()) {
    if (first.starts_with('-'))
      throw error(in_quotes(option_in(first)) + " stands where the command should be: " + listed(commands)
                  + did_you_mean(nearest(option_in(first), alone)) + see(""));
    auto known = commands;
    known.emplace_back("help");
    const auto near = nearest(first, known);
    throw error("there is no command " + shown(first) + (near.empty() ? ": there are " + listed(commands) : did_you_mean(near))
                + see(""));
  }
  if (!first.starts_with('-'))
    words = with_values_apart(words, *app.get_subcommand(first));
  std::reverse(words.begin(), words.end());
  return words;
}

std::string usage_fault(const CLI::App& app, const CLI::ParseError& fault) {
  const auto chosen = app.get_subcommands();
  const auto& command = chosen.empty() ? app : *chosen.front();
  std::string what = fault.what();
  const auto left = command.remaining(true);
  if (dynamic_cast<const CLI::ExtrasError*>(&fault) != nullptr && !left.empty()) {
    const auto option = std::find_if(left.begin(), left.end(), [](const std::string& one) { return one.starts_with('-'); });
    what = unexpected(command, option == left.end() ? left.front() : *option);
  } else if (dynamic_cast<const CLI::ArgumentMismatch*>(&fault) != nullptr && what.starts_with("--")) {
    const auto name = what.substr(0, what.find(':')); // without a value it was refused before
    what = name + " is given " + std::to_string(command.get_option(name)->count()) + " times, and takes one value";
  }
  return what + see(chosen.empty() ? "" : command.get_name());
}

} // namespace tessera::config
