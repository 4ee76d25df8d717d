#pragma once
// What actors are called where they are listed, logged and killed on purpose.

#include <array>
#include <string>

namespace tessera::role {

inline constexpr const char* sink_relay = "sink relay";
inline constexpr const char* ingest = "ingest";
inline constexpr const char* partitioner = "partitioner";
inline constexpr const char* mesher = "mesher";
inline constexpr const char* encoder_pool = "encoder pool";
inline constexpr const char* broadcaster = "broadcaster";
inline constexpr const char* session = "session";
inline constexpr const char* placement = "placement";
inline constexpr const char* device = "device";
inline constexpr const char* inspector = "inspector";
inline constexpr const char* supervisor = "supervisor";

/// Those that a drill can kill, in the order in which people are told of them. Of devices it kills the first.
inline constexpr std::array killable{ingest, partitioner, broadcaster, placement, device, inspector, supervisor};

/// Those, separated by commas.
inline std::string killable_in_words() {
  std::string out;
  for (const auto* one : killable)
    out += (out.empty() ? "" : ", ") + std::string{one};
  return out;
}

} // namespace tessera::role
