#include "net/server/route_table.hpp"

#include <catch2/catch.hpp>

using namespace tessera;

TEST_CASE("Every path says which methods it takes, and which of them bring a body") {
  auto [path, methods, body_type] = GENERATE(table<const char*, const char*, const char*>({
    {"/", "GET, HEAD", ""},
    {"/healthz", "GET, HEAD", ""},
    {"/readyz", "GET, HEAD", ""},
    {"/metrics", "GET, HEAD", ""},
    {"/v1/map", "GET, HEAD", ""},
    {"/v1/regions", "GET, HEAD", ""},
    {"/v1/regions/1,2,3.drc", "GET, HEAD", ""},
    {"/v1/mesh.ply", "GET, HEAD", ""},
    {"/v1/actors", "GET, HEAD", ""},
    {"/v1/aside", "GET, HEAD", ""},
    {"/v1/quarantine", "GET, HEAD", ""},
    {"/v1/cameras", "GET, HEAD", ""},
    {"/v1/slices", "GET, HEAD", ""},
    {"/v1/version", "GET, HEAD", ""},
    {"/v1/stream", "GET", ""},
    {"/v1/keyframes", "POST, DELETE", "application/vnd.tessera.keyframe"},
    {"/v1/keyframes:revise", "POST", "application/json"},
    {"/v1/keyframes/a", "DELETE", ""},
    {"/v1/keyframes/pose", "DELETE", ""},
    {"/v1/keyframes/a/pose", "PUT", "application/json"},
  }));
  INFO(path);
  const auto* row = find_route(parse_target(path).what);
  REQUIRE(row);
  CHECK(allowed_methods(*row) == methods);
  CHECK(row->methods[0].body_types[0] == body_type);
  CHECK((row->methods[0].body_limit != nullptr) == !row->methods[0].body_types[0].empty());
  CHECK((find_method(*row, http::verb::delete_) != nullptr) == std::string_view{methods}.ends_with("DELETE"));
  CHECK(find_method(*row, http::verb::unknown) == nullptr);
}

TEST_CASE("Pages and what tells whether the service lives need no token") {
  for (const char* path : {"/", "/assets/x.js", "/healthz", "/readyz"})
    CHECK(find_route(parse_target(path).what)->open);
  for (const char* path :
       {"/metrics", "/v1/map", "/v1/slices", "/v1/version", "/v1/stream", "/v1/keyframes", "/v1/keyframes/a", "/v1/mesh.ply"})
    CHECK_FALSE(find_route(parse_target(path).what)->open);
  CHECK(find_route(resource::nothing) == nullptr);
}
