#include "config/nearest.hpp"

#include <algorithm>
#include <cctype>
#include <numeric>

namespace tessera::config {

namespace {

std::string plain(std::string_view word) {
  std::string out(word.substr(0, 64)); // no word of ours is as long
  for (auto& c : out)
    c = c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

/// How many letters must be put in, left out, changed or swapped with their neighbour (Damerau 1964, in the restricted form).
size_t distance(const std::string& a, const std::string& b) {
  std::vector<size_t> two_ago(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], two_ago[j - 2] + 1);
    }
    std::swap(two_ago, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

} // namespace

std::string_view nearest(std::string_view typed, const std::vector<std::string_view>& words) {
  const auto wanted = plain(typed);
  std::string_view best;
  auto least = std::max<size_t>(1, wanted.size() / 3) + 1;
  for (const auto word : words)
    if (const auto far = distance(wanted, plain(word)); far < least) {
      least = far;
      best = word;
    }
  // Else what was typed may be the beginning of a word, and of no other one.
  const auto begins = [&](std::string_view word) { return wanted.size() > 2 && plain(word).starts_with(wanted); };
  if (best.empty() && std::count_if(words.begin(), words.end(), begins) == 1)
    best = *std::find_if(words.begin(), words.end(), begins);
  return best;
}

std::string did_you_mean(std::string_view word) {
  return word.empty() ? std::string{} : "; did you mean " + std::string(word) + "?";
}

} // namespace tessera::config
