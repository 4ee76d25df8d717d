#include "config/sample.hpp"

#include "config/table.hpp"

#include <sstream>

namespace tessera::config {

namespace {

constexpr size_t width = 110;

void put_comment(std::ostream& out, const std::string& text) {
  std::istringstream words(text);
  std::string line = "#", word;
  while (words >> word) {
    if (line.size() + 1 + word.size() > width) {
      out << line << '\n';
      line = "#";
    }
    line += ' ' + word;
  }
  out << line << '\n';
}

/// A default as TOML writes it: numbers and truth values bare, everything else in quotes.
std::string literal(const setting& s) {
  const auto bare = s.fallback == "true" || s.fallback == "false"
                    || (!s.fallback.empty() && s.fallback.find_first_not_of("0123456789.") == std::string_view::npos
                        && !std::holds_alternative<std::string settings::*>(s.value));
  return bare ? std::string(s.fallback) : '"' + std::string(s.fallback) + '"';
}

} // namespace

std::string sample_file() {
  std::ostringstream out;
  out << "# Every setting of Tessera with its default. Use: tessera serve --config FILE\n"
         "# A flag wins over the environment, that over this file. Made by `tessera settings`.\n";
  std::string_view group;
  for (const auto& s : table()) {
    if (s.group != group) {
      group = s.group;
      out << "\n[" << group << "]\n";
    }
    out << '\n';
    put_comment(out, std::string(s.help) + '.');
    auto names = environment_name(s);
    for (auto alias : s.aliases)
      names += ", " + std::string(alias);
    put_comment(out, bounds_text(s) + ". Environment: " + names);
    out << s.name << " = " << literal(s) << '\n';
  }
  return out.str();
}

} // namespace tessera::config
