#pragma once
// What a request asks for. Pure functions of text from outside.

#include "messages/ids.hpp"
#include "messages/keyframe.hpp"
#include "net/formats/mesh_files.hpp"

#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace tessera {

/// What a path names, whatever the method. What is known of each stands in route_table.cpp, in this order.
enum class resource : uint8_t {
  health,
  readiness,
  metrics,
  map,
  regions,
  region,
  mesh,
  keyframes,
  keyframes_revise,
  keyframe,
  keyframe_pose,
  actors,
  aside,
  quarantine,
  cameras,
  slices,
  version,
  stream,
  asset,   ///< anything that is not above: perhaps a page or a file of the viewer
  nothing, ///< certainly not there
};

/// The name of a resource, as metrics show it.
const char* to_string(resource what);

/// A request's target, taken apart.
struct http_target {
  resource what = resource::nothing;
  /// For asset: the decoded path, beginning with '/'.
  std::string path;
  /// For region: its key.
  region_key region;
  /// For mesh: its format.
  mesh_format format = mesh_format::ply;
  /// For keyframe and keyframe_pose: the decoded id, not empty.
  std::string id;
  /// The query's `token`, decoded, if there is one.
  std::optional<std::string> token;
  /// The query, as it came, without the `?`.
  std::string query;
};

/// Calls `f(name, value)` for each word of a query, neither decoded, until it answers false.
void for_query_words(std::string_view query, const std::function<bool(std::string_view, std::string_view)>& f);

/// Reads which keyframes a query means: its `session`, `source`, `group` and `before` (a time), decoded, each at most once. A
/// word that is none of `allowed` (or `token`) is a fault, as is a broken escape: who misspells a filter must not take out
/// everything. Then it returns nothing, and `why` says what is wrong with which `field`.
std::optional<keyframe_selection> read_selection(std::string_view query, std::initializer_list<std::string_view> allowed,
                                                 std::string& why, std::string& field);

/// What may stand in a path: each reads its part of one, and answers whether it is good. The region of "x,y,z.drc"; the format
/// "ply", "glb" or "drc"; an id, whose own slashes are escaped; the rest of the path of a page or a file.
bool read_region_file(std::string_view name, http_target& into);
bool read_mesh_format(std::string_view extension, http_target& into);
bool read_keyframe_id(std::string_view id, http_target& into);
bool read_page(std::string_view path, http_target& into);

/// Takes a target apart ("/path?query", or an absolute form, http:// or https://). Never throws for what it holds.
http_target parse_target(std::string_view target);

} // namespace tessera
