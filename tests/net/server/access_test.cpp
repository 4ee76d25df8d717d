#include "net/server/access.hpp"

#include <catch2/catch.hpp>

#include <random>

using namespace tessera;

TEST_CASE("Paths name what the protocol says") {
  auto [path, what] = GENERATE(table<std::string, resource>({
    {"/", resource::asset},
    {"/console", resource::asset},
    {"/assets/x.js", resource::asset},
    {"/../../etc/passwd", resource::asset}, // looked up among the built-in files, and not there
    {"/healthz", resource::health},
    {"/readyz?x", resource::readiness},
    {"/metrics", resource::metrics},
    {"/v1/map", resource::map},
    {"/v1/map/", resource::nothing},
    {"/v1/regions", resource::regions},
    {"/v1/regions/1,-2,3.drc", resource::region},
    {"/v1/regions/1%2C-2%2C3.drc", resource::region},
    {"/v1/regions/1,2.drc", resource::nothing},
    {"/v1/regions/1,2,3", resource::nothing},
    {"/v1/regions/1,2,2147483648.drc", resource::nothing},
    {"/v1/regions/1,2,3,4.drc", resource::nothing},
    {"/v1/regions/,,.drc", resource::nothing},
    {"/v1/regions/%zz.drc", resource::nothing},
    {"/v1/mesh.ply", resource::mesh},
    {"/v1/mesh.glb", resource::mesh},
    {"/v1/mesh.drc", resource::mesh},
    {"/v1/mesh.obj", resource::nothing},
    {"/v1/mesh.x.ply", resource::nothing},
    {"/v1/keyframes", resource::keyframes},
    {"/v1/keyframes/a", resource::keyframe},
    {"/v1/keyframes:revise", resource::keyframes_revise},
    {"/v1/keyframes/a%2Fb/pose", resource::keyframe_pose},
    {"/v1/keyframes/a/b", resource::nothing},
    {"/v1/keyframes/", resource::nothing},
    {"/v1/keyframes//pose", resource::nothing},
    {"/v1/actors", resource::actors},
    {"/v1/aside", resource::aside},
    {"/v1/quarantine", resource::quarantine},
    {"/v1/cameras", resource::cameras},
    {"/v1/version", resource::version},
    {"/v1/stream?token=a%20b", resource::stream},
    {"/v1/unheard", resource::nothing},
    {"http://host:1/v1/map", resource::map},
    {"http://host", resource::asset},
    {"https://host:1/v1/map", resource::map},
    {"*", resource::nothing},
    {"", resource::nothing},
    {"/%", resource::nothing},
  }));
  INFO(path);
  CHECK(parse_target(path).what == what);
}

TEST_CASE("Parts of paths come decoded") {
  CHECK(parse_target("/v1/regions/1,-2,3.drc").region == region_key{1, -2, 3});
  CHECK(parse_target("/v1/keyframes/a%2Fb%00/pose").id == std::string("a/b\0", 4));
  CHECK(parse_target("/v1/mesh.glb").format == mesh_format::glb);
  CHECK(parse_target("/v1/stream?a=1&token=a%20b&c").token == "a b");
  CHECK_FALSE(parse_target("/v1/stream?atoken=1").token);
  CHECK_FALSE(parse_target("/v1/stream?token=%z").token);
  CHECK(parse_target("/v1/stream?token=").token == "");
}

TEST_CASE("No garbage in a target throws") {
  std::mt19937 random{3};
  const std::string seed = "/v1/regions/1,-2,3.drc?token=a%20b";
  for (int i = 0; i < 50'000; ++i) {
    auto text = seed;
    for (int k = 0; k < 3; ++k)
      text[random() % text.size()] = static_cast<char>(random());
    text.resize(random() % (text.size() + 1));
    parse_target(text);
  }
}

namespace {

access_request wants(const char* target, std::string_view host = "localhost:8080") {
  access_request out;
  out.target = parse_target(target);
  out.host = host;
  return out;
}

} // namespace

TEST_CASE("With a token, only health checks and pages are open") {
  access_rules rules{"secret", false};
  CHECK(decide(rules, wants("/")) == access::granted);
  CHECK(decide(rules, wants("/healthz")) == access::granted);
  CHECK(decide(rules, wants("/readyz")) == access::granted);
  CHECK(decide(rules, wants("/v1/map")) == access::token_missing);
  CHECK(decide(rules, wants("/metrics")) == access::token_missing);
  CHECK(decide(rules, wants("/v1/stream?token=secret")) == access::granted);
  CHECK(decide(rules, wants("/v1/stream?token=secre")) == access::token_wrong);
  CHECK(decide(rules, wants("/v1/stream?token=")) == access::token_wrong);
  for (auto [header, expected] : {std::pair{"Bearer secret", access::granted},
                                  {"bearer  secret", access::granted},
                                  {"Bearer secret2", access::token_wrong},
                                  {"Bearer ", access::token_wrong},
                                  {"Basic secret", access::token_missing}}) {
    auto request = wants("/v1/keyframes");
    request.authorization = header;
    request.safe_method = false;
    INFO(header);
    CHECK(decide(rules, request) == expected);
  }
  auto foreign = wants("/v1/map?token=secret", "example.org");
  foreign.origin = "https://elsewhere.example";
  CHECK(decide(rules, foreign) == access::granted);
}

TEST_CASE("Without a token, other sites' pages are refused") {
  access_rules rules;
  CHECK(decide(rules, wants("/v1/map")) == access::granted);
  for (const char* host : {"127.0.0.1:8080", "[::1]:8080", "LOCALHOST", "127.8.9.1", "localhost:"})
    CHECK(decide(rules, wants("/v1/map", host)) == access::granted);
  for (const char* host :
       {"rebound.example:8080", "", "[::1].evil.example", "127.0.0.1:x@evil.example", "127.0.0.1.evil.example",
        "localhost.evil.example", "evil.example:127.0.0.1", "[::1", "::1", "10.0.0.1", "127.0.0.1@evil.example"}) {
    INFO(host);
    CHECK(decide(rules, wants("/v1/map", host)) == access::foreign_origin);
  }
  auto own = wants("/v1/stream");
  own.origin = "http://localhost:8080";
  CHECK(decide(rules, own) == access::granted);
  auto foreign = wants("/v1/stream");
  foreign.origin = "https://elsewhere.example";
  CHECK(decide(rules, foreign) == access::foreign_origin);
  foreign.origin = "null";
  CHECK(decide(rules, foreign) == access::foreign_origin);
  auto other_port = wants("/v1/stream");
  other_port.origin = "http://localhost:3000";
  CHECK(decide(rules, other_port) == access::foreign_origin);
  auto form = wants("/v1/keyframes");
  form.safe_method = false;
  CHECK(decide(rules, form) == access::granted);
  form.fetch_site = "cross-site";
  CHECK(decide(rules, form) == access::foreign_origin);
  CHECK(decide({"", true}, foreign) == access::granted);
  CHECK(decide(rules, wants("/", "rebound.example")) == access::granted);
}

TEST_CASE("Others get in only with a token or a clear word") {
  CHECK_NOTHROW(check_exposure({}, "127.0.0.1"));
  CHECK_NOTHROW(check_exposure({}, "127.3.4.5"));
  CHECK_NOTHROW(check_exposure({}, "::1"));
  CHECK_NOTHROW(check_exposure({}, "localhost"));
  CHECK_THROWS_WITH(check_exposure({"t", false}, "nonsense"), Catch::Contains("nonsense") && Catch::Contains("127.0.0.1"));
  CHECK_THROWS(check_exposure({}, ""));
  CHECK_THROWS_WITH(check_exposure({}, "0.0.0.0"), Catch::Contains("--token") && Catch::Contains("--insecure"));
  CHECK_THROWS(check_exposure({}, "::"));
  CHECK_THROWS(check_exposure({}, "192.168.1.2"));
  CHECK_NOTHROW(check_exposure({"t", false}, "0.0.0.0"));
  CHECK_NOTHROW(check_exposure({"", true}, "0.0.0.0"));
}

TEST_CASE("Comparing tokens gives the right answer") {
  CHECK(equal_in_constant_time("abc", "abc"));
  CHECK(equal_in_constant_time("", ""));
  CHECK_FALSE(equal_in_constant_time("abc", "abd"));
  CHECK_FALSE(equal_in_constant_time("abc", "abcd"));
  CHECK_FALSE(equal_in_constant_time("", "a"));
}

TEST_CASE("Where the scheme is known, an origin is told apart by it, too") {
  access_rules rules;
  auto request = wants("/v1/stream", "localhost");
  request.scheme = "https";
  for (const char* own : {"https://localhost", "HTTPS://localhost:443"}) {
    request.origin = own;
    CHECK(decide(rules, request) == access::granted);
  }
  for (const char* other : {"http://localhost", "https://localhost:80", "https://localhost:8443", "null", "://localhost"}) {
    request.origin = other;
    CHECK(decide(rules, request) == access::foreign_origin);
  }
  request.scheme = "http";
  request.host = "localhost:80";
  request.origin = "http://localhost";
  CHECK(decide(rules, request) == access::granted);
}
