#pragma once
// The JSON answers of docs/protocol.md about the map and the service.

#include "actors/base/aside_log.hpp"
#include "actors/base/quarantine_board.hpp"
#include "messages/keyframe.hpp"
#include "messages/map.hpp"
#include "messages/status.hpp"
#include "net/formats/json_text.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace tessera {

nlohmann::json to_json(const map_status& map);
nlohmann::json to_json(const region_status& region);
nlohmann::json to_json(const actor_status& actor);
nlohmann::json to_json(const aside_entry& entry);
/// Its id and session apart, as a request names it.
nlohmann::json to_json(const quarantined_keyframe& one);
nlohmann::json to_json(const camera& one);

template <class T>
std::string json_text(const T& one) {
  return to_text(to_json(one));
}
/// One after the other: a tree of them all would take many times the memory of the text.
template <class T>
std::string json_text(const std::vector<T>& list) {
  std::string out = "[";
  for (const auto& one : list)
    (out += out.size() > 1 ? "," : "") += to_text(to_json(one));
  return out += ']';
}

/// The name of an outcome, as answers and metrics show it.
const char* to_string(outcome what);

} // namespace tessera
