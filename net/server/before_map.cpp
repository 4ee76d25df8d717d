#include "net/server/before_map.hpp"

#include "net/formats/json_text.hpp"
#include "net/server/json_status.hpp"
#include "net/server/readiness.hpp"

namespace tessera {

namespace {

constexpr const char* wanted = "waiting for the first keyframe, to choose the voxel size";

} // namespace

http_reply ready_for_first(const server_core& core) {
  return readiness(core, std::string("ready: ") + wanted); // producers may send: they are what is waited for
}

http_reply empty_map(const server_core& core) {
  map_status nothing;
  nothing.epoch = core.running.epoch;
  auto out = to_json(nothing);
  for (const char* unknown : {"voxel_m", "truncation_m", "region_voxels"})
    out[unknown] = nullptr;
  out["waiting"] = wanted;
  return json_reply(to_text(out));
}

http_reply empty_list(const server_core&) {
  return json_reply("[]");
}

http_reply no_region_yet(const server_core&) {
  return error_reply(http::status::not_found, "not_found", "the map is empty, and is waiting for its first keyframe");
}

http_reply no_map_yet(const server_core&) {
  return error_reply(http::status::service_unavailable, "waiting", std::string("there is no map yet: ") + wanted);
}

} // namespace tessera
