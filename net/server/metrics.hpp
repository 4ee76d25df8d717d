#pragma once

#include "actors/base/telemetry.hpp"
#include "net/server/traffic.hpp"

#include <prometheus/collectable.h>

#include <memory>
#include <string>
#include <vector>

namespace tessera {

/// The one place that makes metric families: of telemetry, of the server's traffic and of the process. Reads
/// at each collection what others count; keeps nothing itself. Threads: any.
class metrics final : public prometheus::Collectable {
public:
  metrics(std::shared_ptr<const telemetry> numbers, std::shared_ptr<const traffic> counts);

  [[nodiscard]] std::vector<prometheus::MetricFamily> Collect() const override;

  /// All families in Prometheus' text format.
  [[nodiscard]] std::string text() const;

private:
  std::shared_ptr<const telemetry> numbers_;
  std::shared_ptr<const traffic> counts_;
};

} // namespace tessera
