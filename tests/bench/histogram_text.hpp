#pragma once
// Histograms of a Prometheus page, as far as our own page has them.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace tessera::bench {

/// One series of a histogram.
struct histogram {
  /// Upper bound in seconds, and how many lie at or below it.
  std::vector<std::pair<double, double>> buckets;
  double sum_s = 0, count = 0;

  /// The duration that a share of all does not exceed, by linear interpolation within its bucket.
  [[nodiscard]] double quantile_s(double share) const {
    const double wanted = share * count;
    double low_s = 0, below = 0;
    for (const auto& [bound_s, at_most] : buckets) {
      if (at_most >= wanted && at_most > below)
        return std::isfinite(bound_s) ? low_s + (bound_s - low_s) * (wanted - below) / (at_most - below) : low_s;
      if (std::isfinite(bound_s))
        low_s = bound_s;
      below = at_most;
    }
    return low_s;
  }

  /// What was counted since an earlier reading of the same series.
  [[nodiscard]] histogram since(const histogram& earlier) const {
    histogram rest = *this;
    rest.sum_s -= earlier.sum_s;
    rest.count -= earlier.count;
    for (size_t i = 0; i < rest.buckets.size() && i < earlier.buckets.size(); ++i)
      rest.buckets[i].second -= earlier.buckets[i].second;
    return rest;
  }
};

/// All series of the histograms `NAME_seconds` of a page: by name, and by the value of their `stage` (or other first) label.
inline std::map<std::string, histogram> histograms_of(const std::string& page) {
  std::map<std::string, histogram> all;
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#')
      continue;
    const auto space = line.rfind(' ');
    const auto brace = line.find('{');
    auto name = line.substr(0, std::min(brace, space));
    const auto ends_with = [&](const std::string& end) {
      if (name.size() <= end.size() || name.compare(name.size() - end.size(), end.size(), end) != 0)
        return false;
      name.resize(name.size() - end.size());
      return true;
    };
    const bool bucket = ends_with("_seconds_bucket"), sum = !bucket && ends_with("_seconds_sum"),
               count = !bucket && !sum && ends_with("_seconds_count");
    if (!bucket && !sum && !count)
      continue;
    const double value = std::strtod(line.c_str() + space, nullptr);
    std::string bound, key = name;
    if (brace != std::string::npos) {
      std::istringstream labels(line.substr(brace + 1, line.rfind('}') - brace - 1));
      for (std::string label; std::getline(labels, label, ',');) {
        const auto equals = label.find("=\"");
        if (equals == std::string::npos)
          continue;
        const auto text = label.substr(equals + 2, label.size() - equals - 3);
        if (label.compare(0, equals, "le") == 0)
          bound = text;
        else
          key += '.' + text;
      }
    }
    auto& series = all[key];
    if (bucket)
      series.buckets.emplace_back(bound == "+Inf" ? std::numeric_limits<double>::infinity() : std::strtod(bound.c_str(), nullptr),
                                  value);
    else
      (sum ? series.sum_s : series.count) = value;
  }
  return all;
}

} // namespace tessera::bench
