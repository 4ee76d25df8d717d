#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tessera {

/// Which actors are to be killed on purpose, and when.
class drill {
public:
  /// Reads "ROLE@KEYFRAMES,ROLE@KEYFRAMES"; empty: none. Throws std::invalid_argument that names what is wrong.
  explicit drill(const std::string& text);

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

} // namespace tessera
