#include "config/completion.hpp"

#include "config/error.hpp"
#include "config/table.hpp"
#include "config/value.hpp"

#include <CLI/CLI.hpp>

#include <sstream>
#include <vector>

namespace tessera::config {

namespace {

/// What follows an option, for a shell.
enum class follows { nothing, words, file, anything };

struct flag {
  std::string name; ///< with its dashes
  std::string help; ///< its first clause
  follows with = follows::nothing;
  std::vector<std::string> words{};
};

struct command {
  std::string name, help;
  std::vector<flag> flags;
  bool takes_source = false;
};

/// One clause: a menu has no room for more.
std::string clause(const std::string& text) {
  auto end = text.find_first_of(".;:\n[");
  if (end == std::string::npos)
    end = text.size();
  while (end > 0 && text[end - 1] == ' ')
    --end;
  return text.substr(0, end);
}

flag flag_of(const CLI::Option& option, const std::string& name) {
  flag out{name, clause(option.get_description())};
  if (option.get_items_expected_max() == 0)
    return out;
  const auto* row = find(option.get_single_name());
  out.with = option.get_type_name() == "FILE" ? follows::file : follows::anything;
  if (row != nullptr && !row->choices.empty()) {
    out.with = follows::words;
    out.words.assign(row->choices.begin(), row->choices.end());
  } else if (row != nullptr && !row->word.empty()) {
    out.with = follows::words; // one of them alone; numbers are typed
    out.words.emplace_back(row->word);
  } else if (const auto type = option.get_type_name(); type.find('|') != std::string::npos) {
    out.with = follows::words; // x|y|z
    std::istringstream words(type);
    for (std::string word; std::getline(words, word, '|');)
      out.words.push_back(word);
  }
  return out;
}

std::vector<command> commands_of(const CLI::App& app) {
  std::vector<command> out;
  for (const auto* one : app.get_subcommands([](const CLI::App*) { return true; })) {
    command c{one->get_name(), clause(one->get_description()), {}};
    for (const auto* option : one->get_options()) {
      c.takes_source |= option->get_positional() && option->get_name(true, false).starts_with("SOURCE");
      for (const auto& name : option->get_snames())
        c.flags.push_back(flag_of(*option, '-' + name));
      for (const auto& name : option->get_lnames())
        c.flags.push_back(flag_of(*option, "--" + name));
    }
    out.push_back(std::move(c));
  }
  return out;
}

constexpr std::string_view sources[]
  = {"synthetic:room", "synthetic:building", "rgbd:", "recording:", "shm:/", "amqp://", "amqps://"};

template <class Range>
std::string joined(const Range& words) {
  std::string out;
  for (const auto& word : words)
    out += (out.empty() ? "" : " ") + std::string(word);
  return out;
}

/// Within single quotes of a shell.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text)
    out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + '\'';
}

std::string for_bash(const std::vector<command>& commands) {
  std::ostringstream out;
  std::string names;
  for (const auto& c : commands)
    names += (names.empty() ? "" : " ") + c.name;
  out << "# bash completion of tessera; made by `tessera completion bash`.\n"
         "_tessera() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} flags= source=\n"
         "  COMPREPLY=()\n"
         "  if ((COMP_CWORD == 1)); then\n"
         "    COMPREPLY=($(compgen -W \""
      << names << " help --help --version\" -- \"$current\"))\n    return\n  fi\n  case ${COMP_WORDS[1]}:$before in\n";
  for (const auto& c : commands)
    for (const auto& f : c.flags) {
      if (f.with == follows::words)
        out << "    " << c.name << ':' << f.name << ") COMPREPLY=($(compgen -W \"" << joined(f.words)
            << "\" -- \"$current\")); return ;;\n";
      else if (f.with == follows::file)
        out << "    " << c.name << ':' << f.name
            << ") compopt -o filenames; COMPREPLY=($(compgen -f -- \"$current\")); return ;;\n";
      else if (f.with == follows::anything)
        out << "    " << c.name << ':' << f.name << ") return ;;\n";
    }
  out << "  esac\n  case ${COMP_WORDS[1]} in\n";
  for (const auto& c : commands) {
    std::vector<std::string> flags;
    for (const auto& f : c.flags)
      flags.push_back(f.name);
    out << "    " << c.name << ") flags=\"" << joined(flags) << "\"";
    if (c.takes_source)
      out << " source=1";
    out << " ;;\n";
  }
  out << "    help) flags=\"" << names << "\" ;;\n"
      << "  esac\n"
         "  if [[ $current == -* || -z $source ]]; then\n"
         "    COMPREPLY=($(compgen -W \"$flags\" -- \"$current\"))\n"
         "    return\n"
         "  fi\n"
         "  # A colon is a word's end to readline, which completes what is behind it.\n"
         "  if ((COMP_CWORD > 2)) && [[ ${COMP_WORDS[COMP_CWORD-2]} == rgbd && $before == : ]]; then\n"
         "    compopt -o filenames; COMPREPLY=($(compgen -d -- \"$current\"))\n"
         "  elif [[ $before == rgbd && $current == : ]]; then\n"
         "    compopt -o filenames; COMPREPLY=($(compgen -d))\n"
         "  elif ((COMP_CWORD > 2)) && [[ ${COMP_WORDS[COMP_CWORD-2]} == recording && $before == : ]]; then\n"
         "    compopt -o filenames; COMPREPLY=($(compgen -f -- \"$current\"))\n"
         "  elif [[ $before == recording && $current == : ]]; then\n"
         "    compopt -o filenames; COMPREPLY=($(compgen -f))\n"
         "  elif [[ $before == synthetic && $current == : ]]; then\n"
         "    COMPREPLY=(room building)\n"
         "  elif ((COMP_CWORD > 2)) && [[ ${COMP_WORDS[COMP_CWORD-2]} == synthetic && $before == : ]]; then\n"
         "    COMPREPLY=($(compgen -W \"room building\" -- \"$current\"))\n"
         "  else\n"
         "    compopt -o nospace; COMPREPLY=($(compgen -W \""
      << joined(sources)
      << "\" -- \"$current\"))\n"
         "  fi\n"
         "}\n"
         "complete -F _tessera tessera\n";
  return out.str();
}

/// A text in the single-quoted specifications of _arguments: colons and brackets end parts of it.
std::string zsh_text(const std::string& text) {
  std::string out;
  for (const char c : text)
    out += c == ':' || c == '[' || c == ']' ? std::string{'\\', c} : std::string(1, c);
  return out;
}

std::string for_zsh(const std::vector<command>& commands) {
  std::ostringstream out;
  out << "#compdef tessera\n# zsh completion of tessera; made by `tessera completion zsh`.\n_tessera() {\n  local -a commands "
         "sources\n"
         "  commands=(\n";
  for (const auto& c : commands)
    out << "    " << quoted(zsh_text(c.name) + ':' + c.help) << '\n';
  out << "  )\n  sources=(";
  for (const auto source : sources)
    out << ' ' << quoted(std::string(source));
  out << " )\n  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n  fi\n"
         "  local command=$words[2]\n  shift words\n  (( CURRENT-- ))\n  case $command in\n";
  for (const auto& c : commands) {
    out << "    " << c.name << ")\n      _arguments";
    for (const auto& f : c.flags) {
      std::string spec = f.name + '[' + zsh_text(f.help) + ']';
      if (f.with == follows::words)
        spec += ":value:(" + joined(f.words) + ')';
      else if (f.with == follows::file)
        spec += ":file:_files";
      else if (f.with == follows::anything)
        spec += ":value:";
      out << " \\\n        " << quoted(spec);
    }
    if (c.takes_source)
      out << " \\\n        '*:source:compadd -S \"\" -a sources'";
    out << " ;;\n";
  }
  out << "  esac\n}\n_tessera \"$@\"\n";
  return out.str();
}

std::string for_fish(const std::vector<command>& commands) {
  std::ostringstream out;
  out << "# fish completion of tessera; made by `tessera completion fish`.\ncomplete -c tessera -f\n";
  for (const auto& c : commands)
    out << "complete -c tessera -n __fish_use_subcommand -a " << c.name << " -d " << quoted(c.help) << '\n';
  for (const auto& c : commands) {
    const auto within = "complete -c tessera -n '__fish_seen_subcommand_from " + c.name + "' ";
    for (const auto& f : c.flags) {
      out << within << (f.name.starts_with("--") ? "-l " + f.name.substr(2) : "-s " + f.name.substr(1)) << " -d "
          << quoted(f.help);
      if (f.with == follows::words)
        out << " -x -a " << quoted(joined(f.words));
      else if (f.with == follows::file)
        out << " -r -F";
      else if (f.with == follows::anything)
        out << " -x";
      out << '\n';
    }
    if (c.takes_source)
      out << within << "-a " << quoted(joined(sources)) << '\n';
  }
  return out.str();
}

} // namespace

std::string completion(const CLI::App& app, std::string_view shell) {
  const auto commands = commands_of(app);
  if (shell == "bash")
    return for_bash(commands);
  if (shell == "zsh")
    return for_zsh(commands);
  if (shell == "fish")
    return for_fish(commands);
  throw error("SHELL: " + in_quotes(shell) + " is not bash, zsh or fish");
}

} // namespace tessera::config
