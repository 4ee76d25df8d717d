#include "net/formats/moment.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <chrono>
#include <limits>
#include <stdexcept>
#include <string>

namespace tessera {

namespace {

constexpr std::string_view digits = "0123456789";
constexpr int64_t second_ns = 1'000'000'000;

[[noreturn]] void refuse(const std::string& why) {
  throw std::invalid_argument(why);
}

[[noreturn]] void refuse_form() {
  refuse("is not a time, as 2026-11-29T22:15:00Z or 2026-11-29T23:15:00.5+01:00 (RFC 3339), or nanoseconds since 1970");
}

/// Takes a text apart from its beginning.
class rfc3339_reader {
public:
  explicit rfc3339_reader(std::string_view text) : rest_{text} {}

  /// So many digits, which are `low` to `high`.
  int number(size_t width, int low, int high, const char* what) {
    const auto text = rest_.substr(0, width);
    int out = 0;
    if (text.size() != width || text.find_first_not_of(digits) != text.npos)
      refuse_form();
    std::from_chars(text.data(), text.data() + width, out);
    if (out < low || out > high)
      refuse(std::string{what} + " is " + std::to_string(out) + ", not " + std::to_string(low) + " to " + std::to_string(high));
    rest_.remove_prefix(width);
    return out;
  }
  /// One of these characters; letters of either case.
  char one_of(std::string_view allowed) {
    const auto c = rest_.empty() ? '\0' : static_cast<char>(std::toupper(static_cast<unsigned char>(rest_.front())));
    if (c == '\0' || allowed.find(c) == allowed.npos)
      refuse_form();
    rest_.remove_prefix(1);
    return c;
  }
  /// A fraction of a second, if there is one: nanoseconds.
  int64_t fraction() {
    if (!rest_.starts_with('.'))
      return 0;
    rest_.remove_prefix(1);
    const auto width = std::min(rest_.find_first_not_of(digits), rest_.size());
    if (width == 0)
      refuse_form();
    int64_t out = 0;
    for (size_t i = 0; i < 9; ++i)
      out = 10 * out + (i < width ? rest_[i] - '0' : 0);
    rest_.remove_prefix(width);
    return out;
  }
  void end() const {
    if (!rest_.empty())
      refuse_form();
  }

private:
  std::string_view rest_;
};

uint64_t parse_rfc3339(std::string_view text) {
  using namespace std::chrono;
  rfc3339_reader in{text};
  const year y{in.number(4, 1970, 2554, "its year")}; // to which 64 bits of nanoseconds reach
  in.one_of("-");
  const month m{static_cast<unsigned>(in.number(2, 1, 12, "its month"))};
  in.one_of("-");
  const auto last = static_cast<int>(static_cast<unsigned>(year_month_day_last{y, month_day_last{m}}.day()));
  const day d{static_cast<unsigned>(in.number(2, 1, last, "its day"))};
  in.one_of("T ");
  const auto hour = in.number(2, 0, 23, "its hour");
  in.one_of(":");
  const auto minute = in.number(2, 0, 59, "its minute");
  in.one_of(":");
  const auto second = in.number(2, 0, 60, "its second"); // 60 is a leap second's
  const auto fraction = in.fraction();
  int64_t offset = 0;
  if (const auto sign = in.one_of("Z+-"); sign != 'Z') {
    offset = in.number(2, 0, 23, "the hour of its offset") * 60;
    in.one_of(":");
    offset = (offset + in.number(2, 0, 59, "the minute of its offset")) * (sign == '-' ? -60 : 60);
  }
  in.end();
  const auto days = sys_days{year_month_day{y, m, d}}.time_since_epoch().count();
  const auto seconds = int64_t{days} * 86'400 + hour * 3'600 + minute * 60 + second - offset;
  constexpr auto most = std::numeric_limits<uint64_t>::max();
  if (seconds < 0 || static_cast<uint64_t>(seconds) >= most / second_ns)
    refuse("is not from 1970-01-01T00:00:00Z to 2554-07-21T23:34:32Z");
  return static_cast<uint64_t>(seconds) * second_ns + static_cast<uint64_t>(fraction);
}

} // namespace

uint64_t parse_moment(std::string_view text) {
  if (text.empty() || text.find_first_not_of(digits) != text.npos)
    return parse_rfc3339(text);
  uint64_t out = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), out).ec != std::errc{})
    refuse("is more than 18446744073709551615 ns");
  return out;
}

} // namespace tessera
