#include "net/sinks/before_map.hpp"

#include "net/sinks/json_status.hpp"
#include "net/sinks/json_text.hpp"
#include "net/sinks/readiness.hpp"

namespace tessera {

namespace {

constexpr const char* wanted = "waiting for the first keyframe, to choose the voxel size";

/// There is no voxel yet, and nothing in the map: that is known.
std::string empty_map(const server_core& core) {
  map_status nothing;
  nothing.epoch = core.running.epoch;
  auto out = to_json(nothing);
  for (const char* unknown : {"voxel_m", "truncation_m", "region_voxels"})
    out[unknown] = nullptr;
  out["waiting"] = wanted;
  return to_text(out);
}

} // namespace

std::optional<http_reply> answer_before_map(const server_core& core, const http_target& target) {
  switch (target.what) {
  case resource::readiness: // producers may send: they are what is waited for
    return readiness(core, std::string("ready: ") + wanted);
  case resource::map:
    return json_reply(empty_map(core));
  case resource::regions:
  case resource::cameras:
  case resource::actors:
    return json_reply("[]");
  case resource::region:
    return error_reply(http::status::not_found, "not_found", "the map is empty, and is waiting for its first keyframe");
  case resource::mesh:
  case resource::stream:
    return error_reply(http::status::service_unavailable, "waiting", std::string("there is no map yet: ") + wanted);
  default:
    return std::nullopt;
  }
}

} // namespace tessera
