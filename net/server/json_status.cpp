#include "net/server/json_status.hpp"

#include "net/formats/json_text.hpp"

namespace tessera {

namespace {

using nlohmann::json;

json place(const region_key& r) {
  return {r.x, r.y, r.z};
}

// Handling times lie between nanoseconds and minutes: six digits say enough.
json seconds(double s) {
  if (!std::isfinite(s))
    return nullptr;
  char text[64];
  auto [end, failed] = std::to_chars(text, text + sizeof text, s, std::chars_format::general, 6);
  double out = s;
  if (failed == std::errc{})
    std::from_chars(text, end, out);
  return out;
}

} // namespace

json to_json(const map_status& m) {
  auto bounds = json::array();
  for (auto x : m.bounds)
    bounds.push_back(number(x));
  return {{"epoch", m.epoch},
          {"hash", to_hex(m.field.hash)},
          {"keyframes", m.keyframes},
          {"rays", m.rays},
          {"regions", m.regions},
          {"blocks", m.field.blocks},
          {"voxels", m.field.voxels},
          {"field_bytes", m.field.bytes},
          {"vertices", m.vertices},
          {"triangles", m.triangles},
          {"bounds", std::move(bounds)},
          {"voxel_m", number(m.voxel_m)},
          {"truncation_m", number(m.truncation_m)},
          {"region_voxels", m.region_voxels}};
}

json to_json(const region_status& r) {
  return {{"region", place(r.region)},    {"device", r.device.value},
          {"version", wide(r.version)},   {"blocks", r.field.blocks},
          {"voxels", r.field.voxels},     {"bytes", r.field.bytes},
          {"vertices", r.vertices},       {"triangles", r.triangles},
          {"patch_bytes", r.patch_bytes}, {"keyframe_ns", wide(r.keyframe_ns)}};
}

json to_json(const actor_status& a) {
  auto handlers = json::array();
  for (const auto& h : a.handlers)
    handlers.push_back({{"message", h.message},
                        {"handled", h.handled},
                        {"p50_s", seconds(h.p50_s)},
                        {"p99_s", seconds(h.p99_s)},
                        {"total_s", seconds(h.total_s)}});
  return {{"role", a.role},
          {"id", a.id},
          {"region", a.region ? place(*a.region) : json{}},
          {"device", a.device ? json(a.device->value) : json{}},
          {"state", a.state},
          {"detail", a.detail},
          {"mailbox", a.mailbox},
          {"handlers", std::move(handlers)},
          {"restarts", a.restarts},
          {"last_error", a.last_error}};
}

json to_json(const aside_entry& e) {
  return {{"source", e.source}, {"what", e.what}, {"reason", e.reason}, {"time_ns", wide(e.time_ns)}};
}

json to_json(const quarantined_keyframe& one) {
  return {{"id", one.id.value},           {"session", one.id.session},
          {"source", one.source},         {"group", one.group},
          {"reason", one.reason},         {"deaths", one.deaths},
          {"time_ns", wide(one.time_ns)}, {"timestamp_ns", wide(one.timestamp_ns)}};
}

json to_json(const camera& c) {
  auto pose = json::array();
  for (auto x : c.world_from_camera.m)
    pose.push_back(number(x));
  return {{"id", shown(c.id)}, {"timestamp_ns", wide(c.timestamp_ns)}, {"pose", std::move(pose)}};
}

const char* to_string(outcome what) {
  switch (what) {
  case outcome::accepted:
    return "accepted";
  case outcome::duplicate:
    return "duplicate";
  case outcome::unknown:
    return "unknown";
  case outcome::refused:
    return "refused";
  case outcome::dropped:
    return "dropped";
  case outcome::not_now:
    return "not_now";
  case outcome::conflict:
    return "conflict";
  case outcome::retracted:
    return "retracted";
  }
  return "refused";
}

} // namespace tessera
