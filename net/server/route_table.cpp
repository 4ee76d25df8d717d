#include "net/server/route_table.hpp"

#include "net/formats/msgpack.hpp"
#include "net/server/answers.hpp"
#include "net/server/before_map.hpp"

#include <algorithm>

namespace tessera {

namespace {

using http::verb;
using methods = std::array<route_method, 2>;

constexpr methods read_by(void (*answer)(http_call&)) {
  return {{{verb::get, answer}, {verb::head, answer}}};
}

uint64_t most_keyframe_bytes(const server_core& core) {
  return core.config.body_limit;
}

// Sixteen numbers, however they are written, and a few words.
uint64_t most_pose_bytes(const server_core&) {
  return 8 << 10;
}

// Of the largest correction, whose numbers have as many digits as floats need.
uint64_t most_revisions_bytes(const server_core& core) {
  return std::min(core.config.body_limit, uint64_t{correction::max_entries} * 512);
}

constexpr route_method post_keyframe{verb::post, answer_keyframe, {"application/vnd.tessera.keyframe"}, most_keyframe_bytes};
constexpr route_method put_pose{verb::put, answer_revision, {"application/json"}, most_pose_bytes};
constexpr route_method post_revisions{
  verb::post, answer_correction, {"application/json", msgpack_types[0], msgpack_types[1]}, most_revisions_bytes};

// In the order of `resource`. The first whose path fits is it.
constexpr std::array table{
  route{.what = resource::health, .name = "healthz", .path = "/healthz", .methods = read_by(answer_health), .open = true},
  route{.what = resource::readiness,
        .name = "readyz",
        .path = "/readyz",
        .methods = read_by(answer_readiness),
        .before_map = ready_for_first,
        .open = true},
  route{.what = resource::metrics, .name = "metrics", .path = "/metrics", .methods = read_by(answer_metrics)},
  route{.what = resource::map, .name = "map", .path = "/v1/map", .methods = read_by(answer_status), .before_map = empty_map},
  route{.what = resource::regions,
        .name = "regions",
        .path = "/v1/regions",
        .methods = read_by(answer_status),
        .before_map = empty_list},
  route{.what = resource::region,
        .name = "region",
        .path = "/v1/regions/{}",
        .read = read_region_file,
        .methods = read_by(answer_region),
        .before_map = no_region_yet},
  route{.what = resource::mesh,
        .name = "mesh",
        .path = "/v1/mesh.{}",
        .read = read_mesh_format,
        .methods = read_by(answer_mesh),
        .before_map = no_map_yet},
  route{.what = resource::keyframes,
        .name = "keyframes",
        .path = "/v1/keyframes",
        .methods = {{post_keyframe, {verb::delete_, answer_clearing}}}},
  route{.what = resource::keyframes_revise,
        .name = "keyframes_revise",
        .path = "/v1/keyframes:revise",
        .methods = {{post_revisions}}},
  route{.what = resource::keyframe,
        .name = "keyframe",
        .path = "/v1/keyframes/{}",
        .read = read_keyframe_id,
        .methods = {{{verb::delete_, answer_retraction}}}},
  route{.what = resource::keyframe_pose,
        .name = "keyframe_pose",
        .path = "/v1/keyframes/{}/pose",
        .read = read_keyframe_id,
        .methods = {{put_pose}}},
  route{.what = resource::actors,
        .name = "actors",
        .path = "/v1/actors",
        .methods = read_by(answer_status),
        .before_map = empty_list},
  route{.what = resource::aside, .name = "aside", .path = "/v1/aside", .methods = read_by(answer_aside)},
  route{.what = resource::quarantine, .name = "quarantine", .path = "/v1/quarantine", .methods = read_by(answer_quarantine)},
  route{.what = resource::cameras,
        .name = "cameras",
        .path = "/v1/cameras",
        .methods = read_by(answer_status),
        .before_map = empty_list},
  route{
    .what = resource::slices, .name = "slices", .path = "/v1/slices", .methods = read_by(answer_slice), .before_map = no_map_yet},
  route{.what = resource::version, .name = "version", .path = "/v1/version", .methods = read_by(answer_version)},
  route{.what = resource::stream, .name = "stream", .path = "/v1/stream", .methods = {{{verb::get}}}, .before_map = no_map_yet},
  route{
    .what = resource::asset, .name = "asset", .path = "/{}", .read = read_page, .methods = read_by(answer_asset), .open = true},
};

constexpr bool has_every_resource_once() {
  for (size_t i = 0; i < table.size(); ++i)
    if (table[i].what != static_cast<resource>(i))
      return false;
  return static_cast<resource>(table.size()) == resource::nothing;
}
static_assert(has_every_resource_once());

bool fits(const route& row, std::string_view path, http_target& out) {
  if (!row.read)
    return path == row.path;
  const auto hole = row.path.find("{}");
  const auto before = row.path.substr(0, hole), after = row.path.substr(hole + 2);
  return path.size() >= before.size() + after.size() && path.starts_with(before) && path.ends_with(after)
         && row.read(path.substr(before.size(), path.size() - before.size() - after.size()), out);
}

} // namespace

const route* find_route(resource what) {
  return what == resource::nothing ? nullptr : &table[static_cast<size_t>(what)];
}

void resolve(std::string_view path, http_target& out) {
  for (const auto& row : table)
    if (fits(row, path, out)) {
      out.what = row.what;
      return;
    }
}

const route_method* find_method(const route& row, http::verb wanted) {
  for (const auto& one : row.methods)
    if (one.verb == wanted && wanted != verb::unknown)
      return &one;
  return nullptr;
}

std::string allowed_methods(const route& row) {
  std::string out;
  for (const auto& one : row.methods)
    if (one.verb != verb::unknown) {
      const auto name = http::to_string(one.verb);
      out += out.empty() ? "" : ", ";
      out.append(name.data(), name.size());
    }
  return out;
}

const char* to_string(resource what) {
  const auto* row = find_route(what);
  return row ? row->name : "nothing";
}

} // namespace tessera
