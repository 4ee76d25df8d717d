#pragma once
// What bench_upload found, as JSON and as a table.

#include "upload_way.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace tessera::bench {

/// Median and 99th percentile.
inline nlohmann::json spread(std::vector<double> all) {
  std::sort(all.begin(), all.end());
  const auto at = [&](double share) { return all[static_cast<size_t>(share * static_cast<double>(all.size() - 1) + .5)]; };
  return {{"median_us", at(.5)}, {"p99_us", at(.99)}};
}

inline nlohmann::json told(const way& w, size_t bytes) {
  nlohmann::json out{{"name", w.name}};
  if (!w.failed.empty() || w.took.empty()) {
    out["failed"] = w.failed.empty() ? "it was not measured" : w.failed;
    return out;
  }
  const auto of = [&](const auto& value) {
    std::vector<double> all;
    for (const timing& t : w.took)
      all.push_back(value(t));
    return spread(std::move(all));
  };
  out["host"] = of([](const timing& t) { return t.host_us; });
  out["ready"] = of([](const timing& t) { return t.ready_us; });
  out["gb_per_s"] = static_cast<double>(bytes) / out["ready"]["median_us"].get<double>() * 1e-3;
  for (size_t i = 0; i < w.steps.size(); ++i)
    out["steps"][w.steps[i]] = of([i](const timing& t) { return t.steps_us[i]; });
  return out;
}

/// All of a report as a table on standard output.
inline void print_table(const nlohmann::json& report) {
  std::printf("%s; %d segments of %zu points, %.2f MB; us, median (99 %%)\n", report["device"].get<std::string>().c_str(),
              report["segments"].get<int>(), report["points"].get<size_t>(), report["bytes"].get<double>() * 1e-6);
  const auto pair = [](const nlohmann::json& of) {
    char text[64];
    std::snprintf(text, sizeof text, "%8.1f (%8.1f)", of["median_us"].get<double>(), of["p99_us"].get<double>());
    return std::string(text);
  };
  if (report.contains("mapping"))
    std::printf("%-42s %s\n", report["populated"].get<bool>() ? "mapping, populated" : "mapping, not populated",
                pair(report["mapping"]).c_str());
  std::printf("%-42s %-19s %-19s %s\n", "", "host busy", "on the device", "GB/s");
  for (const auto& w : report["ways"]) {
    if (w.contains("failed")) {
      std::printf("%-42s %s\n", w["name"].get<std::string>().c_str(), w["failed"].get<std::string>().c_str());
      continue;
    }
    std::printf("%-42s %s %s %5.1f", w["name"].get<std::string>().c_str(), pair(w["host"]).c_str(), pair(w["ready"]).c_str(),
                w["gb_per_s"].get<double>());
    if (w.contains("steps"))
      for (const auto& [step, took] : w["steps"].items())
        std::printf("  %s %s", step.c_str(), pair(took).c_str());
    std::printf("\n");
  }
}

} // namespace tessera::bench
