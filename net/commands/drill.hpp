#pragma once

#include "gpu/fields.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tessera {

/// Which actors are to be killed, and GPUs to be broken, on purpose, and when.
class drill {
public:
  /// How a role that stands for a GPU, not for an actor, breaks it: gpu, a kernel traps; launch, the driver refuses a launch.
  static std::optional<breakage> breakage_of(const std::string& role);

  /// Reads "ROLE@KEYFRAMES,ROLE@KEYFRAMES"; empty: none. Throws std::invalid_argument that names what is wrong.
  explicit drill(const std::string& text);

  /// Throws std::invalid_argument if more GPUs are to be broken than there are.
  void check_gpus(size_t there) const;

  /// Returns the roles that are due now that so many keyframes have been accepted, each once, in the order of the text.
  std::vector<std::string> due(uint64_t accepted);

  /// Whether nothing is left to do.
  [[nodiscard]] bool over() const { return entries_.empty(); }

private:
  struct entry {
    std::string role;
    uint64_t keyframes;
  };
  std::vector<entry> entries_;
};

/// Breaks GPUs on purpose, in their order: the first that it has not broken yet, each time it is asked. What then happens is what
/// happens when one breaks by itself.
class gpu_breaker {
public:
  explicit gpu_breaker(std::vector<std::shared_ptr<async_fields>> gpus) : gpus_{std::move(gpus)} {}
  /// Tells the log. Does not wait, and does not throw if the GPU is broken already.
  void break_next(breakage how);

private:
  std::vector<std::shared_ptr<async_fields>> gpus_;
  size_t broken_ = 0;
};

} // namespace tessera
