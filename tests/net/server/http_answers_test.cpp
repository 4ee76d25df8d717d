#include "net/server/assets.hpp"
#include "net/server/build_info.hpp"
#include "running_server.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace tessera;
using namespace tessera::test;

TEST_CASE("The map, its regions, actors and refused inputs are answered as JSON") {
  running_server s;
  auto port = s.http->port();
  auto map = get(port, "/v1/map");
  CHECK(map.status == 200);
  CHECK(map.has("Content-Type: application/json"));
  CHECK(map.has("Cache-Control: no-store"));
  CHECK(map.has("X-Content-Type-Options: nosniff"));
  CHECK(map.json()["hash"] == "00000000000000010000000000000002");
  CHECK(map.json()["keyframes"] == 3);
  CHECK(map.json()["voxel_m"] == 0.02);
  CHECK(map.json()["bounds"].size() == 6);
  for (const char* field :
       {"epoch", "rays", "regions", "blocks", "voxels", "field_bytes", "vertices", "triangles", "truncation_m", "region_voxels"})
    CHECK(map.json().contains(field));
  auto regions = get(port, "/v1/regions").json();
  REQUIRE(regions.size() == 1);
  CHECK(regions[0]["region"] == nlohmann::json{1, -2, 3});
  CHECK(regions[0]["version"] == "18446744073709551615");
  CHECK(regions[0]["keyframe_ns"] == "12345678901234567890");
  auto actors = get(port, "/v1/actors").json();
  REQUIRE(actors.is_array());
  bool found = false;
  for (const auto& a : actors)
    found = found || (a["role"] == "broadcaster" && a["region"].is_null() && a["handlers"].is_array());
  CHECK(found);
  s.running.context.numbers->set_aside.add("shm", "/x", "point_count is 7");
  auto aside = get(port, "/v1/aside").json();
  REQUIRE(aside.size() == 1);
  CHECK(aside[0]["reason"] == "point_count is 7");
  CHECK(aside[0]["time_ns"].is_string());
  s.running.context.numbers->quarantine.enter({{"7", "monday"}, "shm", "upstairs", 5, "it is deadly", 6, 2});
  const auto apart = get(port, "/v1/quarantine").json();
  REQUIRE(apart.size() == 1);
  CHECK(apart[0]["id"] == "7");
  CHECK(apart[0]["session"] == "monday");
  CHECK(apart[0]["source"] == "shm");
  CHECK(apart[0]["reason"] == "it is deadly");
  CHECK(apart[0]["deaths"] == 2);
  CHECK(apart[0]["time_ns"] == "6");
  camera c{{"k1"}, 5, {}, false};
  caf::anon_send(s.running.broadcaster.get(), camera_atom::value, std::vector<camera>{c});
  CHECK(eventually([&] { return get(port, "/v1/cameras").json().size() == 1; }));
}

TEST_CASE("A service says what it is and what it was built with") {
  running_server s;
  const auto answer = get(s.http->port(), "/v1/version");
  CHECK(answer.status == 200);
  const auto told = answer.json();
  const auto text = version_text(this_build());
  CHECK(text.starts_with("tessera " + told["version"].get<std::string>() + "\n"));
  CHECK(text.find("build " + told["build_type"].get<std::string>() + ", " + told["compiler"].get<std::string>()) != text.npos);
  for (const char* library : {"CAF", "Draco", "Boost", "RocksDB"}) {
    const auto version = told["libraries"][library].get<std::string>();
    INFO(library << " " << version);
    CHECK(std::count(version.begin(), version.end(), '.') == 2);
    CHECK((text + '\n').find(library + (" " + version) + '\n') != text.npos);
  }
}

TEST_CASE("What is not in a build is null in JSON, and left out or none in words") {
  build_info build{
    .version = "1.2.3", .commit = "", .compiler = "GNU 12", .type = "Release", .sanitize = "", .cuda = "", .libraries = {}};
  CHECK(version_text(build) == "tessera 1.2.3\nbuild Release, GNU 12\nCUDA none");
  auto told = to_json(build);
  for (const char* field : {"commit", "sanitizers", "cuda"})
    CHECK(told.at(field).is_null());
  CHECK(told.at("libraries").is_object());
  build.commit = "v1-3-gabc";
  build.sanitize = "address";
  build.cuda = "12.4";
  CHECK(version_text(build) == "tessera 1.2.3\ncommit v1-3-gabc\nbuild Release, GNU 12, sanitizers address\nCUDA 12.4");
  told = to_json(build);
  CHECK(told.at("commit") == "v1-3-gabc");
  CHECK(told.at("sanitizers") == "address");
  CHECK(told.at("cuda") == "12.4");
}

TEST_CASE("Health and readiness tell when an actor is lost") {
  running_server s;
  CHECK(get(s.http->port(), "/healthz").status == 200);
  CHECK(get(s.http->port(), "/readyz").status == 200);
  s.running.context.numbers->lost_core = 1;
  CHECK(get(s.http->port(), "/healthz").status == 503);
  CHECK(get(s.http->port(), "/readyz").status == 503);
}

TEST_CASE("Readiness tells what is short, until a keyframe is accepted") {
  running_server s;
  auto& n = *s.running.context.numbers;
  CHECK(n.count_not_now({hindrance::torn, "the points changed"}).what == outcome::not_now);
  CHECK(get(s.http->port(), "/readyz").status == 200); // nothing is short
  n.count_not_now({hindrance::store, "No space left on device"});
  auto answer = get(s.http->port(), "/readyz");
  CHECK(answer.status == 503);
  CHECK(answer.has("Retry-After: "));
  CHECK_THAT(answer.body, Catch::StartsWith("not ready: No space left on device (for "));
  CHECK(get(s.http->port(), "/healthz").status == 200); // starting it again would lose the map, and help nothing
  auto& stalls = s.running.context.numbers->stalls;
  stalls.set({{"device 0", "3 requests are not answered", std::chrono::steady_clock::now() - std::chrono::seconds{12}},
              {"ingest", "1 message waits", std::chrono::steady_clock::now()}},
             2);
  answer = get(s.http->port(), "/readyz");
  CHECK(answer.status == 503);
  CHECK_THAT(answer.body, Catch::Contains("the device 0 is stalled: it has not advanced for 12 s (3 requests are not answered)")
                            && Catch::Contains("and 1 more"));
  CHECK(get(s.http->port(), "/healthz").status == 200);
  stalls.set({}, 0);
  n.shortage.clear();
  CHECK(get(s.http->port(), "/readyz").body == "ready\n");
}

TEST_CASE("An actor that is gone or does not answer is a 503, and the server goes on") {
  running_server s{[](server_config& c) { c.timeouts.ask = std::chrono::milliseconds{200}; }};
  caf::anon_send_exit(s.running.partitioner.get(), caf::exit_reason::kill);
  for (const char* path : {"/v1/map", "/v1/regions", "/v1/mesh.ply"}) {
    auto answer = get(s.http->port(), path);
    CHECK(answer.status == 503);
    CHECK(answer.has("Retry-After"));
    CHECK(answer.json()["error"] == "unavailable");
  }
  CHECK(get(s.http->port(), "/healthz").status == 200);
}

TEST_CASE("A region's payload is served from the patch that viewers get") {
  running_server s;
  auto p = s.publish(1, 5);
  client::answer found;
  REQUIRE(eventually([&] { return (found = get(s.http->port(), "/v1/regions/1,0,-1.drc")).status == 200; }));
  auto payload = patch_payload(*p.frame);
  CHECK(found.body == std::string(reinterpret_cast<const char*>(payload.data()), payload.size()));
  CHECK(found.has("Tessera-Version: 5"));
  CHECK(get(s.http->port(), "/v1/regions/1,0,-1.drc", "If-None-Match: \"epoch-1-5\"\r\n").status == 304);
  CHECK(get(s.http->port(), "/v1/regions/9,9,9.drc").status == 404);
}

TEST_CASE("The whole map comes as a file of each format") {
  running_server s;
  s.map->meshes = {region_of_ground(0, 8, 8, 0.02f), region_of_ground(8, 16, 8, 0.02f)};
  auto ply = get(s.http->port(), "/v1/mesh.ply");
  CHECK(ply.status == 200);
  CHECK_THAT(ply.body, Catch::StartsWith("ply\n") && Catch::Contains("element face 256\n"));
  CHECK(ply.has("Content-Disposition: attachment; filename=\"map.ply\""));
  CHECK_THAT(get(s.http->port(), "/v1/mesh.glb").body, Catch::StartsWith("glTF"));
  CHECK_THAT(get(s.http->port(), "/v1/mesh.drc").body, Catch::StartsWith("DRACO"));
}

TEST_CASE("Those who read the same map read the same file, and need it once") {
  running_server s;
  s.map->meshes = {region_of_ground(0, 8, 8, 0.02f)};
  const auto port = s.http->port();
  std::vector<std::unique_ptr<client>> crowd;
  for (const char* ending : {"ply", "glb", "drc"})
    for (int i = 0; i < 20; ++i) {
      crowd.push_back(std::make_unique<client>(port));
      crowd.back()->send(std::string("GET /v1/mesh.") + ending + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
  std::set<std::string> bodies, tags;
  for (auto& one : crowd) {
    auto answer = one->receive();
    CHECK(answer.status == 200);
    bodies.insert(answer.body);
    tags.insert(answer.header("ETag"));
  }
  CHECK(bodies.size() == 3);
  auto first = get(port, "/v1/mesh.ply");
  CHECK(get(port, "/v1/mesh.ply", "If-None-Match: " + first.header("ETag") + "\r\n").status == 304);
  s.map->meshes = {region_of_ground(0, 8, 9, 0.02f)};
  CHECK(get(port, "/v1/mesh.ply", "If-None-Match: " + first.header("ETag") + "\r\n").status == 200);
}

TEST_CASE("Those who ask at once what there is are told the same, once") {
  running_server s;
  // None of them is answered before the partitioner has come to the first question.
  std::vector<std::unique_ptr<client>> crowd;
  s.map->hold();
  for (int i = 0; i < 30; ++i) {
    crowd.push_back(std::make_unique<client>(s.http->port()));
    crowd.back()->send("GET /v1/map HTTP/1.1\r\nHost: localhost\r\n\r\n");
  }
  const auto all_wait = [&] {
    return get(s.http->metrics_port(), "/metrics").body.find("\ntessera_http_requests_under_way 31\n") != std::string::npos;
  };
  const auto came = eventually([&] { return s.map->status_asked == 1 && all_wait(); }); // that of /metrics is one, too
  s.map->release();
  REQUIRE(came);
  for (auto& one : crowd)
    CHECK(one->receive().json()["keyframes"] == 3);
  CHECK(s.map->status_asked <= 2); // the first question, and one for all who came meanwhile
}

TEST_CASE("Readers who are too slow make room for others' answers") {
  running_server s{[](server_config& c) {
    c.most_status_bytes = 4 << 20;
    c.timeouts.slow_answer = std::chrono::seconds{1};
  }};
  s.map->regions.resize(60'000, s.map->regions.front()); // more than sockets hold
  std::unique_ptr<client> slow;
  REQUIRE(eventually([&] {
    slow = std::make_unique<client>(s.http->port(), "127.0.0.1", 4096); // on a slow machine the last one was cut off already
    slow->send("GET /v1/regions HTTP/1.1\r\nHost: localhost\r\n\r\n");
    auto answer = get(s.http->port(), "/v1/regions");
    return answer.status == 503 && answer.json()["error"] == "busy";
  }));
  CHECK(eventually([&] {
    slow->read_some(100); // it moves, though slowly
    return get(s.http->port(), "/v1/map").status == 200;
  }));
}

TEST_CASE("Metrics are served on both ports, and nothing else on theirs") {
  running_server s;
  for (auto port : {s.http->port(), s.http->metrics_port()}) {
    auto answer = get(port, "/metrics");
    CHECK(answer.status == 200);
    CHECK(answer.has("Content-Type: text/plain; version=0.0.4"));
    CHECK_THAT(answer.body, Catch::Contains("tessera_live_keyframes"));
  }
  CHECK(get(s.http->metrics_port(), "/v1/map").status == 404);
  CHECK(get(s.http->metrics_port(), "/").status == 404);
  CHECK(request(s.http->metrics_port(), "POST", "/metrics", "", "").status == 405);
}

TEST_CASE("Either port answers under this machine's own names alone, unless others are let in") {
  running_server s, open{[](server_config&c) { c.insecure = true; }}, with_token{[](server_config&c) { c.token = "t"; }},
    in_the_open{[](server_config&c) {
      c.token = "t";
      c.bind = "0.0.0.0";
    }};
  auto as = [](uint16_t port, const std::string& headers) {
    client c{port};
    c.send("GET /metrics HTTP/1.1\r\n" + headers + "\r\n");
    return c.receive().status;
  };
  for (auto port : {s.http->port(), s.http->metrics_port()}) {
    CHECK(as(port, "Host: localhost\r\n") == 200);
    CHECK(as(port, "Host: rebound.example\r\n") == 403);
    CHECK(as(port, "Host: localhost\r\nOrigin: https://elsewhere.example\r\n") == 403);
    CHECK(as(port, "") == 400);
    CHECK(as(port, "Host: localhost\r\nHost: localhost\r\n") == 400);
    CHECK(as(port, "Host: [::1].evil.example\r\n") == 400);
    CHECK(as(port, "Host: 127.0.0.1:x@evil.example\r\n") == 400);
    client old{port};
    old.send("GET /metrics HTTP/1.0\r\n\r\n");
    CHECK(old.receive().status == 403);
  }
  for (auto port : {open.http->port(), open.http->metrics_port(), in_the_open.http->metrics_port()})
    CHECK(as(port, "Host: monitor.example\r\n") == 200);
  // A token makes no port weaker: on this machine alone, metrics are asked for under its names.
  CHECK(as(with_token.http->metrics_port(), "Host: monitor.example\r\n") == 403);
  CHECK(as(with_token.http->metrics_port(), "Host: localhost\r\nOrigin: https://elsewhere.example\r\n") == 403);
  CHECK(as(with_token.http->metrics_port(), "Host: localhost\r\n") == 200);
  CHECK(as(with_token.http->port(), "Host: monitor.example\r\n") == 401);
}

TEST_CASE("Pages and their files come from the program itself") {
  running_server s;
  auto port = s.http->port();
  auto page = get(port, "/");
  CHECK(page.status == 200);
  CHECK(page.has("Content-Type: text/html"));
  CHECK(page.has("Content-Security-Policy: "));
  CHECK(get(port, "/console").status == 200);
  auto at = page.head.find("\r\nETag: ") + 8;
  auto tag = page.head.substr(at, page.head.find("\r\n", at) - at);
  CHECK(get(port, "/", "If-None-Match: " + tag + "\r\n").status == 304);
  CHECK(get(port, "/", "If-None-Match: \"other\", W/" + tag + "\r\n").status == 304);
  CHECK(get(port, "/", "If-None-Match: \"other\"\r\nIf-None-Match: " + tag + "\r\n").status == 304);
  CHECK(get(port, "/", "If-None-Match: *\r\n").status == 304);
  CHECK(get(port, "/", "If-None-Match: \"other\"\r\n").status == 200);
  auto moved = get(port, "/console/?token=a%20b");
  CHECK(moved.status == 308);
  CHECK(moved.header("Location") == "../console?token=a%20b");
  auto packed = get(port, "/", "Accept-Encoding: gzip, br\r\n");
  CHECK(packed.has("Vary: Accept-Encoding"));
  if (packed.has("Content-Encoding: gzip")) {
    CHECK(packed.body.size() < page.body.size());
    CHECK(packed.header("ETag") != tag); // other bytes
    CHECK(get(port, "/", "Accept-Encoding: gzip\r\nIf-None-Match: " + packed.header("ETag") + "\r\n").status == 304);
  }
  CHECK_FALSE(get(port, "/", "Accept-Encoding: gzip;q=0\r\n").has("Content-Encoding"));
  for (const char* path : {"/../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/assets/../../CMakeLists.txt", "/etc/passwd",
                           "//etc/passwd", "/%00"}) {
    INFO(path);
    CHECK(get(port, path).status == 404);
  }
}

TEST_CASE("Whose pages may frame ours is what the setting says") {
  running_server s, other{[](server_config&c) { c.frame_ancestors = "'self' https://example.org"; }};
  for (const char* page : {"/", "/console"}) {
    CHECK_THAT(get(s.http->port(), page).header("Content-Security-Policy"), Catch::EndsWith("; frame-ancestors 'none'"));
    CHECK_THAT(get(other.http->port(), page).header("Content-Security-Policy"),
               Catch::EndsWith("; frame-ancestors 'self' https://example.org"));
  }
}

TEST_CASE("Pages of other sites load the element, and read why its stream does not open, and nothing else") {
  running_server s, open{[](server_config&c) { c.insecure = true; }}, with_token{[](server_config&c) { c.token = "t"; }};
  const std::string foreign = "Origin: https://elsewhere.example\r\n";
  const std::string any = "*", nobody;
  for (auto* server : {&s, &open, &with_token}) {
    const auto module = get(server->http->port(), "/element.js", foreign);
    if (has_viewer()) {
      CHECK(module.status == 200);
      CHECK(module.header("Access-Control-Allow-Origin") == any);
      CHECK(module.header("Cross-Origin-Resource-Policy") == "cross-origin");
    }
    const auto page = get(server->http->port(), "/", foreign);
    CHECK(page.header("Access-Control-Allow-Origin") == nobody);
    CHECK(page.header("Cross-Origin-Resource-Policy") == "same-origin");
  }
  const auto asked = [&](const running_server& server, const std::string& target) {
    const auto answer = get(server.http->port(), target, foreign);
    return std::pair{answer.status, answer.header("Access-Control-Allow-Origin")};
  };
  CHECK(asked(s, "/v1/map") == std::pair{403, nobody});
  CHECK(asked(open, "/v1/map") == std::pair{200, any});
  CHECK(asked(with_token, "/v1/map") == std::pair{401, any});
  CHECK(asked(with_token, "/v1/map?token=t") == std::pair{200, any});
  CHECK(asked(with_token, "/v1/actors?token=t") == std::pair{200, nobody});
  CHECK(asked(with_token, "/v1/actors") == std::pair{401, nobody});
}

TEST_CASE("Methods and paths that are not there are told so") {
  running_server s;
  auto port = s.http->port();
  CHECK(get(port, "/v1/nothing").status == 404);
  auto refused = request(port, "DELETE", "/v1/map", "", "");
  CHECK(refused.status == 405);
  CHECK(refused.has("Allow: GET, HEAD"));
  CHECK(get(port, "/v1/keyframes").status == 405);
  CHECK(request(port, "BREW", "/v1/map", "", "").status == 405);
  client c{port};
  c.send("HEAD /v1/map HTTP/1.1\r\nHost: localhost\r\n\r\n");
  auto head = c.receive(true);
  CHECK(head.status == 200);
  CHECK(head.has("Content-Length: "));
  c.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(c.receive().body == "ok\n"); // nothing of the other's body stood in between
  CHECK(get(port, "/v1/stream").status == 426);
}
