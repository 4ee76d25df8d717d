#include "net/formats/number_file.hpp"

#include "net/base/bad_input.hpp"
#include "net/base/shortage.hpp"
#include "net/base/utf8.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <limits>
#include <string>

namespace tessera {

std::vector<std::byte> read_file(const std::filesystem::path& path, size_t most) {
  auto name = path.filename().string();
  std::error_code error;
  auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status))
    throw bad_input(name + " is missing in " + path.parent_path().string());
  if (!std::filesystem::is_regular_file(status))
    throw bad_input(name + " is not a plain file");
  auto size = std::filesystem::file_size(path, error);
  if (error)
    throw bad_input(name + " cannot be read: " + error.message());
  if (size > most)
    throw bad_input(name + " has " + std::to_string(size) + " bytes, at most " + std::to_string(most) + " are read");
  std::vector<std::byte> bytes(size);
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in.is_open() && is_shortage(errno))
    throw_not_now(name + " cannot be read", errno);
  if (!in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size)))
    throw bad_input(name + " cannot be read");
  return bytes;
}

namespace {

double parse_number(std::string_view word) {
  if (word.starts_with('+'))
    word.remove_prefix(1);
  constexpr double infinity = std::numeric_limits<double>::infinity(), none = std::numeric_limits<double>::quiet_NaN();
  if (const auto odd = word.find("#"); odd != std::string_view::npos && odd > 0 && word.substr(0, odd).ends_with("1.")) {
    if (word.substr(odd).starts_with("#INF"))
      return word.starts_with('-') ? -infinity : infinity;
    if (const auto kind = word.substr(odd + 1); kind.starts_with("IND") || kind.starts_with("QNAN") || kind.starts_with("SNAN"))
      return none;
  }
  double value = 0;
  auto [rest, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error == std::errc::result_out_of_range)
    return word.find("e-") != word.npos || word.find("E-") != word.npos ? 0 : infinity;
  if (error != std::errc{} || rest != word.data() + word.size())
    throw bad_input("'" + printable(word, 40) + "' is no number");
  return value;
}

} // namespace

std::vector<double> parse_numbers(std::string_view text, std::initializer_list<size_t> wanted) {
  const auto most = std::max(wanted);
  constexpr std::string_view blanks = " \t\r\n,;";
  std::vector<double> numbers;
  for (size_t at = text.find_first_not_of(blanks); at != std::string_view::npos; at = text.find_first_not_of(blanks, at)) {
    auto end = std::min(text.find_first_of(blanks, at), text.size());
    auto word = text.substr(at, end - at);
    at = end;
    const auto value = parse_number(word);
    if (numbers.size() == most)
      throw bad_input("more than " + std::to_string(most) + " numbers");
    numbers.push_back(value);
  }
  if (std::find(wanted.begin(), wanted.end(), numbers.size()) == wanted.end()) {
    auto text_of_wanted = std::string{};
    for (const auto count : wanted)
      text_of_wanted += (text_of_wanted.empty() ? "" : " or ") + std::to_string(count);
    throw bad_input(std::to_string(numbers.size()) + " numbers, must be " + text_of_wanted);
  }
  return numbers;
}

std::vector<double> read_numbers(const std::filesystem::path& path, std::initializer_list<size_t> wanted) {
  auto bytes = read_file(path, 1 << 20);
  try {
    return parse_numbers({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, wanted);
  } catch (const bad_input& e) {
    throw bad_input(path.filename().string() + ": " + e.what());
  }
}

} // namespace tessera
