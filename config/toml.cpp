#include "config/toml.hpp"

#include "config/error.hpp"
#include "config/nearest.hpp"

#include <algorithm>

namespace tessera::config {

namespace {

/// One line, read from left to right.
class line_reader {
public:
  line_reader(std::string_view text, std::string where) : text_(text), where_(std::move(where)) {}

  [[noreturn]] void fail(const std::string& what) const { throw error(where_ + ": " + what); }

  void skip_space() {
    while (!text_.empty() && (text_.front() == ' ' || text_.front() == '\t' || text_.front() == '\r'))
      text_.remove_prefix(1);
  }

  /// True at the end of the line or at a comment.
  bool at_end() {
    skip_space();
    return text_.empty() || text_.front() == '#';
  }

  bool take(char c) {
    skip_space();
    if (text_.empty() || text_.front() != c)
      return false;
    text_.remove_prefix(1);
    return true;
  }

  std::string name() {
    skip_space();
    const auto end = std::find_if_not(text_.begin(), text_.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    });
    std::string out(text_.begin(), end);
    if (out.empty())
      fail("a name is expected");
    text_.remove_prefix(out.size());
    return out;
  }

  /// What stands after the = of a setting.
  std::string value(const std::string& setting) {
    skip_space();
    if (take('"'))
      return quoted();
    if (take('\'')) {
      const auto end = text_.find('\'');
      if (end == std::string_view::npos)
        fail("the closing ' is missing");
      std::string out(text_.substr(0, end));
      text_.remove_prefix(end + 1);
      return out;
    }
    std::string out(text_.substr(0, text_.find_first_of(" \t\r#")));
    if (out.empty())
      fail("a value is expected after =");
    if (out.front() == '[' || out.front() == '{')
      fail("lists and tables are no settings");
    const auto plain = out == "true" || out == "false" || out.find_first_not_of("0123456789+-._eE") == std::string::npos;
    if (!plain) // it is not repeated: it may be a secret
      fail("text belongs in quotes: " + setting + " = \"...\"");
    text_.remove_prefix(out.size());
    out.erase(std::remove(out.begin(), out.end(), '_'), out.end());
    return out;
  }

private:
  std::string quoted() {
    std::string out;
    while (!text_.empty()) {
      const auto c = text_.front();
      text_.remove_prefix(1);
      if (c == '"')
        return out;
      if (c != '\\') {
        out += c;
        continue;
      }
      if (text_.empty())
        break;
      const auto escaped = text_.front();
      text_.remove_prefix(1);
      switch (escaped) {
      case '"':
      case '\\':
        out += escaped;
        break;
      case 't':
        out += '\t';
        break;
      case 'n':
        out += '\n';
        break;
      default:
        fail(std::string("unknown escape \\") + escaped);
      }
    }
    fail("the closing \" is missing");
  }

  std::string_view text_;
  std::string where_;
};

} // namespace

std::map<std::string, given> read_toml(std::istream& in, const std::string& file) {
  std::map<std::string, given> values;
  std::string line, section;
  for (size_t number = 1; std::getline(in, line); ++number) {
    const auto where = file + " line " + std::to_string(number);
    if (constexpr std::string_view mark = "\xef\xbb\xbf"; number == 1 && line.starts_with(mark)) // as editors of Windows write it
      line.erase(0, mark.size());
    line_reader reader(line, where);
    if (reader.at_end())
      continue;
    if (reader.take('[')) {
      section = reader.name();
      if (!reader.take(']') || !reader.at_end())
        reader.fail("a section is written [name]");
      if (std::none_of(table().begin(), table().end(), [&](const setting& s) { return s.group == section; }))
        reader.fail("there is no section [" + section + "]" + did_you_mean(nearest_group(section)));
      continue;
    }
    const auto name = reader.name();
    if (!reader.take('='))
      reader.fail("= is expected after " + name);
    auto text = reader.value(name);
    if (!reader.at_end())
      reader.fail("nothing may follow the value of " + name);
    const auto* row = find(name);
    if (row == nullptr)
      reader.fail("there is no setting " + name + did_you_mean(nearest_name(name)));
    if (!section.empty() && row->group != section)
      reader.fail(name + " belongs into the section [" + std::string(row->group) + "]");
    if (const auto [old, added] = values.emplace(name, given{std::move(text), where}); !added)
      reader.fail(name + " was set before, at " + old->second.where);
  }
  return values;
}

} // namespace tessera::config
