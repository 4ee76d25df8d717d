#include "config/man_page.hpp"

#include "config/table.hpp"

#include <CLI/CLI.hpp>

#include <sstream>

namespace tessera::config {

namespace {

/// Text as roff prints it: no backslash, hyphen or dot means anything to it.
std::string plain(std::string_view text) {
  std::string out;
  for (const char c : text)
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n'))
      out += std::string("\\&") + c;
    else
      out += c;
  return out;
}

/// The same with what stands in `ticks` set bold.
std::string with_code(std::string_view text) {
  auto escaped = plain(text);
  std::string out;
  bool bold = false;
  for (const char c : escaped)
    if (c == '`') {
      out += bold ? "\\fR" : "\\fB";
      bold = !bold;
    } else {
      out += c;
    }
  return out;
}

void section(std::ostream& out, std::string_view name) {
  out << ".SH " << name << '\n';
}

/// A tagged paragraph: `tag` is roff already.
void item(std::ostream& out, const std::string& tag, const std::string& text) {
  out << ".TP\n" << tag << '\n' << with_code(text) << '\n';
}

std::string bold(std::string_view text) {
  return "\\fB" + plain(text) + "\\fR";
}

std::string italic(std::string_view text) {
  return "\\fI" + plain(text) + "\\fR";
}

/// How an option is typed, without what is a setting's.
std::string typed(const CLI::Option& option) {
  std::string out;
  for (const auto& name : option.get_snames())
    out += (out.empty() ? "" : ", ") + bold('-' + name);
  for (const auto& name : option.get_lnames())
    out += (out.empty() ? "" : ", ") + bold("--" + name);
  if (out.empty())
    return italic(option.get_name());
  if (option.get_items_expected_max() > 0)
    out += ' ' + italic(option.get_type_name());
  return out;
}

bool is_setting(const CLI::Option& option) {
  return find(option.get_single_name()) != nullptr;
}

void put_command(std::ostream& out, const CLI::App& command) {
  out << ".SS tessera " << plain(command.get_name());
  for (const auto* option : command.get_options())
    if (option->get_positional())
      out << ' ' << plain(option->get_name(true, false)) << (option->get_items_expected_max() > 1 ? "..." : "");
  out << '\n' << with_code(command.get_description()) << ".\n";
  std::string groups;
  for (const auto* option : command.get_options()) {
    if (is_setting(*option)) {
      const auto group = std::string(find(option->get_single_name())->group);
      if (groups.find(group) == std::string::npos)
        groups += (groups.empty() ? "" : ", ") + group;
    } else if (!option->get_positional() && option->get_single_name() != "help") {
      item(out, typed(*option), option->get_description());
    }
  }
  if (!groups.empty())
    out << ".PP\nSettings: " << plain(groups) << ".\n";
}

void put_setting(std::ostream& out, const setting& row) {
  std::string environment = environment_name(row);
  for (auto alias : row.aliases)
    environment += ", " + std::string(alias);
  const auto is_switch = std::holds_alternative<bool settings::*>(row.value);
  const auto name = std::string(row.name);
  out << ".TP\n" << bold("--" + name) << (is_switch ? ", " + bold("--no-" + name) : ' ' + italic("VALUE")) << '\n';
  out << with_code(row.help) << ".\n.br\n"
      << plain(bounds_text(row)) << "; default " << plain(row.fallback.empty() ? "none" : row.fallback) << "; "
      << plain(environment) << "\n";
}

} // namespace

std::string man_page(const CLI::App& app, const std::string& version) {
  std::ostringstream out;
  out << ".\\\" Made by `tessera man`.\n"
      << ".TH TESSERA 1 \"\" \"tessera " << plain(version) << "\" \"User commands\"\n.nh\n.ad l\n";
  section(out, "NAME");
  out << "tessera \\- live meshes from the keyframes of a SLAM system\n";
  section(out, "SYNOPSIS");
  out << ".B tessera\n" << italic("COMMAND") << " [" << italic("OPTION") << "]... [" << italic("SOURCE") << "]...\n";
  section(out, "DESCRIPTION");
  out << with_code(app.get_description()) << '\n';
  out << "A flag wins over the environment, that over a settings file.\n";
  section(out, "COMMANDS");
  for (const auto* command : app.get_subcommands([](const CLI::App*) { return true; }))
    put_command(out, *command);
  section(out, "SETTINGS");
  std::string_view group;
  for (const auto& row : table()) {
    if (row.group != group)
      out << ".SS " << plain(group = row.group) << '\n';
    put_setting(out, row);
  }
  section(out, "EXIT STATUS");
  item(out, bold("0"), "It is done; of `tessera serve`: it was asked to end, and ended.");
  item(out, bold("1"), "It failed; standard error says why.");
  item(out, bold("2"), "The command line or a setting cannot be; standard error says which and what it may be.");
  section(out, "SIGNALS");
  out << "SIGINT and SIGTERM end every command in order: what was acknowledged is safe, what was not stays with its sender.\n";
  section(out, "EXAMPLES");
  item(out, bold("tessera serve synthetic:room"), "Scans a room that there is not, and shows it at http://127.0.0.1:8080/.");
  item(out, bold("tessera serve shm:/slam3r_keyframe_"), "Takes keyframes from shared memory of this machine.");
  item(out, bold("tessera mesh rgbd:DIR -o room.glb"), "Writes the mesh of a folder of RGB-D frames.");
  item(out, bold("tessera record shm:/slam3r_keyframe_ -o scan.mcap"),
       "Records what comes, for `tessera serve recording:scan.mcap`.");
  return out.str();
}

} // namespace tessera::config
