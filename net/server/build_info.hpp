#pragma once
// What this program is, and what it was built with: `tessera --version` and `GET /v1/version`.

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// A program's own account of itself. All of it was fixed when it was built, and is the same wherever the same tree was built by
/// the same tools.
struct build_info {
  struct library {
    std::string_view name;
    std::string version;
  };

  std::string_view version;  ///< of Tessera: "0.1.0"
  std::string_view commit;   ///< what the build was told (TESSERA_COMMIT); empty: nothing
  std::string_view compiler; ///< name and version
  std::string_view type;     ///< of the build: "Release"
  std::string_view sanitize; ///< the sanitizers in it; empty: none
  std::string_view cuda;     ///< version of the CUDA compiler; empty: built without the CUDA backend
  /// Versions of the headers it was compiled with.
  std::vector<library> libraries;
};

/// Returns what this program was built from.
build_info this_build();

/// Several lines of text without an end of line at the end. The first is "tessera VERSION".
std::string version_text(const build_info& build);

/// The answer of `GET /v1/version` (docs/protocol.md).
nlohmann::json to_json(const build_info& build);

} // namespace tessera
