#include "running_server.hpp"

#include "net/sinks/assets.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::test;

namespace {

const std::string keyframe_headers
  = "Content-Type: application/vnd.tessera.keyframe\r\nX-Keyframe-Id: k%201\r\nX-Timestamp-Ns: 77\r\n";

} // namespace

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
  camera c{{"k1"}, 5, {}, false};
  caf::anon_send(s.running.broadcaster.get(), camera_atom::value, std::vector<camera>{c});
  CHECK(eventually([&] { return get(port, "/v1/cameras").json().size() == 1; }));
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
  running_server s, open{[](server_config&c) { c.insecure = true; }}, with_token{[](server_config&c) { c.token = "t"; }};
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
  for (auto port : {open.http->port(), open.http->metrics_port(), with_token.http->metrics_port()})
    CHECK(as(port, "Host: monitor.example\r\n") == 200);
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
  if (packed.has("Content-Encoding: gzip"))
    CHECK(packed.body.size() < page.body.size());
  for (const char* path : {"/../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/assets/../../CMakeLists.txt", "/etc/passwd",
                           "//etc/passwd", "/%00"}) {
    INFO(path);
    CHECK(get(port, path).status == 404);
  }
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

TEST_CASE("A posted keyframe reaches the sink, and its verdict the producer") {
  running_server s;
  auto port = s.http->port();
  auto first = request(port, "POST", "/v1/keyframes", keyframe_headers, "12345");
  CHECK(first.status == 200);
  CHECK(first.json()["outcome"] == "accepted");
  auto offered = s.sink.offered();
  REQUIRE(offered.size() == 1);
  CHECK(offered[0].id.value == "k 1");
  CHECK(offered[0].timestamp_ns == 77);
  CHECK(offered[0].body->colours().size() == 5);
  CHECK(request(port, "POST", "/v1/keyframes", keyframe_headers, "12345").json()["outcome"] == "duplicate");
  CHECK(request(port, "POST", "/v1/keyframes",
                "Content-Type: application/vnd.tessera.keyframe; v=1\r\nTessera-Keyframe-Id: other\r\n", "12345")
          .status
        == 200);
  CHECK(offered[0].source == "http");
  CHECK(offered[0].id.session.empty());
  s.sink.answer_with({outcome::refused, "pose[3] is nan"});
  auto refused
    = request(port, "POST", "/v1/keyframes", "Content-Type: application/vnd.tessera.keyframe\r\nX-Keyframe-Id: k2\r\n", "12345");
  CHECK(refused.status == 422);
  CHECK(refused.json()["reason"] == "pose[3] is nan");
}

TEST_CASE("Bad, not now and conflict are told apart by status") {
  running_server s;
  auto port = s.http->port();
  int number = 0;
  const auto post = [&] {
    return request(port, "POST", "/v1/keyframes",
                   "Content-Type: application/vnd.tessera.keyframe\r\nX-Keyframe-Id: " + std::to_string(++number) + "\r\n",
                   "12345");
  };
  s.sink.answer_with({outcome::not_now, "the disk is full"});
  auto later = post();
  CHECK(later.status == 503);
  CHECK(later.has("Retry-After: 1"));
  CHECK(later.json()["error"] == "not_now");
  CHECK(later.json()["reason"] == "the disk is full");
  s.sink.answer_with({outcome::conflict, "live with other points"});
  auto conflict = post();
  CHECK(conflict.status == 409);
  CHECK(conflict.json()["error"] == "conflict");
  CHECK(conflict.json()["field"] == "id");
  // What fails in us while it is offered is our fault, too.
  const auto& n = *s.running.context.numbers;
  s.sink.fail_with(std::make_exception_ptr(std::bad_alloc{}));
  later = post();
  CHECK(later.status == 503);
  CHECK(later.has("Retry-After: "));
  CHECK(n.not_now_by[static_cast<size_t>(hindrance::memory)] == 1);
  s.sink.fail_with(std::make_exception_ptr(std::runtime_error("a fault of ours")));
  later = post();
  CHECK(later.status == 503);
  CHECK(later.json()["reason"] == "a fault of ours");
  CHECK(s.sink.aside().empty());
}

TEST_CASE("A keyframe's session and group come in headers of either spelling, and are checked") {
  running_server s;
  auto port = s.http->port();
  const std::string type = "Content-Type: application/vnd.tessera.keyframe\r\nX-Keyframe-Id: 0\r\n";
  const auto post = [&](const std::string& more) { return request(port, "POST", "/v1/keyframes", type + more, "12345"); };
  CHECK(post("").json()["outcome"] == "accepted");
  CHECK(post("Tessera-Session: caf%C3%A9\r\nTessera-Group: first%20floor\r\n").json()["outcome"] == "accepted");
  CHECK(post("X-Session: caf%C3%A9\r\nX-Group: x\r\n").json()["outcome"] == "duplicate");
  const auto offered = s.sink.offered();
  REQUIRE(offered.size() == 3);
  CHECK(offered[1].id == keyframe_id{"0", "caf\xc3\xa9"});
  CHECK(offered[1].group == "first floor");
  CHECK(offered[2].group == "x");
  for (const auto& bad : {std::string(65, 'x'), std::string("a%0Ab"), std::string("%FF"), std::string("%zz")}) {
    INFO(bad);
    auto refused = post("Tessera-Session: " + bad + "\r\n");
    CHECK(refused.status == 400);
    CHECK(refused.json()["field"] == "Tessera-Session");
    refused = post("Tessera-Group: " + bad + "\r\n");
    CHECK(refused.status == 400);
    CHECK(refused.json()["field"] == "Tessera-Group");
  }
  CHECK(s.sink.offered().size() == 3);
}

TEST_CASE("All keyframes, or some, can be taken out at once, and a filter that is misspelt takes out none") {
  running_server s;
  auto port = s.http->port();
  request(port, "POST", "/v1/keyframes", keyframe_headers, "12345");
  auto all = request(port, "DELETE", "/v1/keyframes", "", "");
  CHECK(all.status == 200);
  CHECK(all.json() == nlohmann::json{{"outcome", "accepted"}, {"keyframes", 1}});
  CHECK(request(port, "DELETE", "/v1/keyframes?session=a%20b&group=&source=amqp&token=x", "", "").status == 200);
  const auto cleared = s.sink.cleared();
  REQUIRE(cleared.size() == 2);
  CHECK(cleared[0] == keyframe_selection{});
  CHECK(cleared[1] == keyframe_selection{"a b", "amqp", ""});
  for (const auto& [query, field] : std::vector<std::pair<std::string, std::string>>{{"?sesion=a", "sesion"},
                                                                                     {"?session=a&session=b", "session"},
                                                                                     {"?group=%zz", "group"},
                                                                                     {"?session=%0a", "session"},
                                                                                     {"?group=" + std::string(65, 'x'), "group"},
                                                                                     {"?id=7", "id"}}) {
    INFO(query);
    auto refused = request(port, "DELETE", "/v1/keyframes" + query, "", "");
    CHECK(refused.status == 400);
    CHECK(refused.json()["field"] == field);
  }
  CHECK(request(port, "DELETE", "/v1/keyframes", "", "a body").status == 400);
  CHECK(s.sink.cleared().size() == 2);
  s.sink.answer_with({outcome::not_now, "not done in time"});
  all = request(port, "DELETE", "/v1/keyframes", "", "");
  CHECK(all.status == 503);
  CHECK(all.has("Retry-After: "));
}

TEST_CASE("Taking out many keyframes needs the same rights as bringing one") {
  running_server s;
  CHECK(request(s.http->port(), "DELETE", "/v1/keyframes", "Origin: https://elsewhere.example\r\n", "").status == 403);
  CHECK(request(s.http->port(), "DELETE", "/v1/keyframes", "Sec-Fetch-Site: cross-site\r\n", "").status == 403);
  running_server guarded{[](server_config& c) { c.token = "open sesame"; }};
  CHECK(request(guarded.http->port(), "DELETE", "/v1/keyframes", "", "").status == 401);
  CHECK(request(guarded.http->port(), "DELETE", "/v1/keyframes?token=open%20sesame", "", "").status == 200);
  CHECK(s.sink.cleared().empty());
  CHECK(guarded.sink.cleared().size() == 1);
}

TEST_CASE("A body of several pieces, also chunked, arrives whole") {
  running_server s;
  std::string body(300'000, 'x');
  body += "end";
  CHECK(request(s.http->port(), "POST", "/v1/keyframes", keyframe_headers, body).status == 200);
  client c{s.http->port()};
  c.send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Type: "
         "application/vnd.tessera.keyframe\r\n"
         "X-Keyframe-Id: chunked\r\n\r\n");
  for (int i = 0; i < 3; ++i)
    c.send("186a0\r\n" + std::string(100'000, 'y') + "\r\n");
  c.send("0\r\n\r\n");
  CHECK(c.receive().status == 200);
  auto offered = s.sink.offered();
  REQUIRE(offered.size() == 2);
  CHECK(offered[0].body->colours().size() == body.size());
  CHECK(offered[0].body->colours().back() == 'd');
  CHECK(offered[1].body->colours().size() == 300'000);
}

TEST_CASE("A client that asks first is told to go on") {
  running_server s;
  client c{s.http->port()};
  c.send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\n" + keyframe_headers
         + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  CHECK(c.receive().status == 100);
  c.send("12345");
  CHECK(c.receive().status == 200);
}

TEST_CASE("A keyframe that cannot be one is refused by name, and set aside") {
  running_server s;
  auto port = s.http->port();
  auto post = [&](const std::string& headers, const std::string& body = "12345") {
    return request(port, "POST", "/v1/keyframes", headers, body);
  };
  const std::string type = "Content-Type: application/vnd.tessera.keyframe\r\n";
  CHECK(post("X-Keyframe-Id: a\r\n").status == 415);
  CHECK(post("X-Keyframe-Id: a\r\nContent-Type: application/json\r\n").status == 415);
  CHECK(post(type).json()["field"] == "X-Keyframe-Id");
  CHECK(post(type + "X-Keyframe-Id: \r\n").status == 400);
  CHECK(post(type + "X-Keyframe-Id: a%zz\r\n").status == 400);
  CHECK(post(type + "X-Keyframe-Id: " + std::string(257, 'x') + "\r\n").status == 400);
  CHECK(post(type + "X-Keyframe-Id: a\r\nX-Timestamp-Ns: -4\r\n").json()["field"] == "X-Timestamp-Ns");
  CHECK(post(type + "X-Keyframe-Id: a\r\nX-Timestamp-Ns: 18446744073709551616\r\n").status == 400);
  CHECK(s.sink.aside().empty());
  auto bad = post(type + "X-Keyframe-Id: a\r\n", "123");
  CHECK(bad.status == 400);
  CHECK(bad.json()["reason"] == "body has 3 bytes, at least 4 must be");
  CHECK(s.sink.aside() == std::vector<std::string>{"http|a|body has 3 bytes, at least 4 must be"});
  auto large = post(type + "X-Keyframe-Id: a\r\n", std::string((1 << 20) + 1, 'x'));
  CHECK(large.status == 413);
  CHECK(large.json()["field"] == "body");
  CHECK(s.sink.offered().empty());
}

TEST_CASE("A body that grows past the limit is cut off, whatever it announced") {
  running_server s;
  client c{s.http->port()};
  c.send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n" + keyframe_headers + "\r\n");
  auto chunk = "10000\r\n" + std::string(0x10000, 'x') + "\r\n";
  for (int i = 0; i < 20; ++i)
    c.try_send(chunk);
  CHECK(c.receive().status == 413);
  for (const char* length : {"18446744073709551615", "-1", "1e3"}) {
    client d{s.http->port()};
    d.send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\n" + keyframe_headers + "Content-Length: " + length + "\r\n\r\n");
    auto status = d.receive().status;
    CHECK((status == 400 || status == 413));
  }
  CHECK(s.sink.offered().empty());
}

TEST_CASE("A body in pieces has the limit of what it is for") {
  running_server s{[](server_config& c) { c.body_limit = 64 << 20; }};
  client c{s.http->port()};
  c.send("PUT /v1/keyframes/a/pose HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
         "Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n");
  const std::string zeros(4094, '0');
  int sent = 0;
  while (sent < 6000 && c.try_send("1000\r\n" + zeros + ",\n\r\n"))
    ++sent;
  auto answer = c.receive();
  CHECK((answer.status == 413 || answer.status == 0)); // the answer may be lost to one who does not listen
  client small{s.http->port()};
  small.send("PUT /v1/keyframes/a/pose HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
             "Transfer-Encoding: chunked\r\n\r\n20000\r\n");
  answer = small.receive();
  CHECK(answer.status == 413);
  CHECK_THAT(answer.json()["reason"].get<std::string>(), Catch::Contains("8192"));
  client nothing{s.http->port()};
  nothing.send("DELETE /v1/keyframes/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  CHECK(nothing.receive().status == 400);
}

TEST_CASE("Any body limit lets bodies up to it in") {
  for (uint64_t limit : {uint64_t{1}, uint64_t{4}, uint64_t{1000}, uint64_t{4096}, uint64_t{16'383}, uint64_t{65'537}}) {
    running_server s{[&](server_config& c) {
      c.body_limit = limit;
      c.parse_keyframe = [](const std::string& id, uint64_t, std::vector<std::byte> body) {
        keyframe out;
        out.id.value = id + "-" + std::to_string(body.size());
        out.body = std::make_shared<owned_keyframe_body>();
        return out;
      };
    }};
    INFO(limit);
    const std::string body(limit, 'x');
    CHECK(request(s.http->port(), "POST", "/v1/keyframes", keyframe_headers, body).status == 200);
    CHECK(request(s.http->port(), "POST", "/v1/keyframes", keyframe_headers, body + 'x').status == 413);
    for (size_t piece : {limit, uint64_t{1} + limit / 3}) {
      client c{s.http->port()};
      c.send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Type: "
             "application/vnd.tessera.keyframe\r\nX-Keyframe-Id: p"
             + std::to_string(piece) + "\r\n\r\n");
      for (size_t at = 0; at < limit; at += piece) {
        char size[32];
        const auto n = std::min<size_t>(piece, limit - at);
        std::snprintf(size, sizeof size, "%zx\r\n", n);
        c.send(size + std::string(n, 'y') + "\r\n");
      }
      c.send("0\r\n\r\n");
      CHECK(c.receive().status == 200);
      REQUIRE_FALSE(s.sink.offered().empty());
      CHECK(s.sink.offered().back().id.value == "p" + std::to_string(piece) + "-" + std::to_string(limit));
    }
  }
}

TEST_CASE("Bodies that hardly come keep nobody out") {
  running_server s;
  std::vector<std::unique_ptr<client>> crowd;
  for (int i = 0; i < 300; ++i) {
    crowd.push_back(std::make_unique<client>(s.http->port()));
    crowd.back()->send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\n" + keyframe_headers
                       + (i % 2 == 0 ? "Content-Length: 1000000\r\n\r\nx" : "Transfer-Encoding: chunked\r\n\r\n1\r\nx"));
  }
  CHECK(request(s.http->port(), "POST", "/v1/keyframes", keyframe_headers, std::string(1'000'000, 'x')).status == 200);
}

TEST_CASE("No byte of a request that is refused is read as another") {
  running_server s;
  const std::string smuggled = "DELETE /v1/keyframes/a HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const std::string post = "POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\n" + keyframe_headers;
  for (std::string framing : {"Transfer-Encoding: identity",
                              "Transfer-Encoding: gzip",
                              "Transfer-Encoding: gzip, chunked",
                              "Transfer-Encoding: chunked, identity",
                              "Transfer-Encoding: chunked, chunked",
                              "Transfer-Encoding: xchunked",
                              "Transfer-Encoding: ",
                              "Transfer-Encoding:\r\n chunked",
                              "Transfer-Encoding: chu\r\n nked",
                              "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
                              "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
                              "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                              "Transfer-Encoding: chunked\r\nContent-Length: 5",
                              "Content-Length: 5\r\nTransfer-Encoding: chunked",
                              "Content-Length: 5\r\nTransfer-Encoding: identity",
                              "Transfer-Encoding : chunked",
                              "Transfer-Encoding\r\n: chunked",
                              "Content-Length: 5\r\nContent-Length: 5",
                              "Content-Length: 5, 5",
                              "Content-Length: 5\r\nContent-Length: 6",
                              "Content-Length:\r\n 5",
                              "Content-Length: +5",
                              "Content-Length : 5",
                              "Host: localhost\r\nContent-Length: 5"}) {
    INFO(framing);
    client c{s.http->port()};
    c.send(post + framing + "\r\n\r\n" + smuggled + smuggled);
    const auto answer = c.receive();
    CHECK((answer.status == 400 || answer.status == 501));
    CHECK(answer.has("Connection: close"));
    CHECK_THAT(c.rest(), !Catch::Contains("HTTP/1.1"));
  }
  client old{s.http->port()};
  old.send("POST /v1/keyframes HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n" + keyframe_headers
           + "Transfer-Encoding: chunked\r\n\r\n" + smuggled);
  CHECK(old.receive().status == 400);
  CHECK_THAT(old.rest(), !Catch::Contains("HTTP/1.1"));
  for (std::string refused :
       {"POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\n", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
        "DELETE /v1/map HTTP/1.1\r\nHost: localhost\r\n", "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n"}) {
    INFO(refused);
    client c{s.http->port()};
    c.send(refused + "Content-Length: " + std::to_string(smuggled.size()) + "\r\n\r\n" + smuggled + smuggled);
    CHECK(c.receive().status >= 400);
    CHECK_THAT(c.rest(), !Catch::Contains("HTTP/1.1"));
  }
  CHECK(s.sink.offered().empty());
}

TEST_CASE("An answer arrives although much of the body was on its way") {
  running_server s;
  client c{s.http->port()};
  c.try_send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n" + std::string(4'000'000, 'x'));
  CHECK(c.receive().status == 501);
}

TEST_CASE("A coding of a body's content is refused by name") {
  running_server s;
  auto refused = request(s.http->port(), "POST", "/v1/keyframes", keyframe_headers + "Content-Encoding: gzip\r\n", "12345");
  CHECK(refused.status == 415);
  CHECK(refused.json()["field"] == "Content-Encoding");
  CHECK_THAT(refused.json()["reason"].get<std::string>(), Catch::Contains("gzip"));
  CHECK(request(s.http->port(), "PUT", "/v1/keyframes/a/pose", "Content-Type: application/json\r\nContent-Encoding: br\r\n", "[]")
          .status
        == 415);
  CHECK(request(s.http->port(), "POST", "/v1/keyframes", keyframe_headers + "Content-Encoding: identity\r\n", "12345").status
        == 200);
}

TEST_CASE("Keyframes can be taken back and moved") {
  running_server s;
  auto port = s.http->port();
  request(port, "POST", "/v1/keyframes", keyframe_headers, "12345");
  std::string pose = R"({"pose":[1,0,0,4,0,1,0,5,0,0,1,6,0,0,0,1]})";
  const std::string json = "Content-Type: application/json\r\n";
  CHECK(request(port, "PUT", "/v1/keyframes/k%201/pose", json, pose).json()["outcome"] == "accepted");
  REQUIRE(s.sink.revised().size() == 1);
  CHECK(s.sink.revised()[0].first == "k 1");
  CHECK(s.sink.revised()[0].second.m[11] == 6);
  CHECK(request(port, "PUT", "/v1/keyframes/k2/pose", json, pose).status == 404);
  for (const char* bad : {"", "{", "[1,2,3]", R"({"pose":7})", R"(["a",0,0,4,0,1,0,5,0,0,1,6,0,0,0,1])", "[[[[[[[[[[",
                          "[1e300,0,0,4,0,1,0,5,0,0,1,6,0,0,0,1]"})
    CHECK(request(port, "PUT", "/v1/keyframes/k1/pose", json, bad).status == 400);
  CHECK(request(port, "PUT", "/v1/keyframes/k1/pose", json, std::string(20'000, ' ')).status == 413);
  request(port, "POST", "/v1/keyframes", keyframe_headers + "Tessera-Session: a/b\r\n", "12345");
  CHECK(request(port, "PUT", "/v1/keyframes/k%201/pose?session=a%2Fb", json, pose).status == 200);
  CHECK(s.sink.revised().back().first == "a/b/k 1");
  CHECK(request(port, "PUT", "/v1/keyframes/k%201/pose?session=c", json, pose).status == 404);
  CHECK(request(port, "DELETE", "/v1/keyframes/k%201?sesion=a", "", "").json()["field"] == "sesion");
  CHECK(request(port, "DELETE", "/v1/keyframes/k%201?session=a%2fb", "", "").status == 200);
  CHECK(request(port, "DELETE", "/v1/keyframes/k%201?session=a%2fb", "", "").status == 404);
  CHECK(request(port, "DELETE", "/v1/keyframes/k%201", "", "").json()["outcome"] == "accepted");
  CHECK(request(port, "DELETE", "/v1/keyframes/k%201", "", "").status == 404);
}

TEST_CASE("A sink without credit holds producers back, and nobody else") {
  running_server s;
  s.sink.hold(true);
  client waiting{s.http->port()};
  waiting.send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\n" + keyframe_headers + "Content-Length: 5\r\n\r\n12345");
  CHECK(get(s.http->port(), "/v1/map").status == 200);
  CHECK(get(s.http->port(), "/healthz").status == 200);
  std::vector<std::unique_ptr<client>> crowd;
  for (int i = 0; i < 70; ++i) {
    crowd.push_back(std::make_unique<client>(s.http->port()));
    crowd.back()->send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                       "application/vnd.tessera.keyframe\r\nX-Keyframe-Id: c"
                       + std::to_string(i) + "\r\nContent-Length: 5\r\n\r\n12345");
  }
  CHECK(eventually([&] {
    return get(s.http->port(), "/metrics").body.find("tessera_http_requests_total{resource=\"keyframes\",status=\"5xx\"} ")
           != std::string::npos;
  }));
  s.sink.hold(false);
  CHECK(waiting.receive().status == 200);
  int accepted = 0, busy = 0;
  for (auto& c : crowd) {
    auto answer = c->receive();
    accepted += answer.status == 200;
    busy += answer.status == 503 && answer.has("Retry-After");
  }
  CHECK(accepted + busy == 70);
  CHECK(accepted >= 60);
  CHECK(busy >= 1);
}

TEST_CASE("Requests on one connection are answered in order") {
  running_server s;
  client c{s.http->port()};
  std::string both = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v1/map HTTP/1.1\r\nHost: localhost\r\n\r\n";
  c.send(both + both + "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  for (int i = 0; i < 2; ++i) {
    CHECK(c.receive().body == "ok\n");
    CHECK(c.receive().json().contains("hash"));
  }
  CHECK(c.receive().has("Connection: close"));
  CHECK(c.ended());
}

TEST_CASE("What is not HTTP is told so, and ends") {
  running_server s;
  auto port = s.http->port();
  for (std::string raw : {std::string("\x16\x03\x01\x02\x00\x01\x00", 7), std::string("GET / HTTP/9.9\r\n\r\n"),
                          std::string(10'000, '\0'), "GET /" + std::string(100'000, 'a') + " HTTP/1.1\r\n\r\n",
                          "GET / HTTP/1.1\r\n" + std::string(40'000, 'A') + ": b\r\n\r\n"}) {
    client c{port};
    c.try_send(raw);
    auto status = c.receive().status;
    CHECK((status == 400 || status == 431 || status == 0));
    CHECK(get(port, "/healthz").status == 200);
  }
  client half{port};
  half.send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\n" + keyframe_headers
            + "Content-Length: 1000000\r\n\r\nhalf of it");
  half.end_of_sending();
  CHECK(half.ended());
  client bad_chunk{port};
  bad_chunk.send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n" + keyframe_headers
                 + "\r\nzz\r\n");
  CHECK(bad_chunk.receive().status == 400);
  CHECK(s.sink.offered().empty());
}

TEST_CASE("Who says too little too slowly is dropped") {
  running_server s{[](server_config& c) {
    c.timeouts.idle = std::chrono::milliseconds{150};
    c.timeouts.progress = std::chrono::milliseconds{150};
  }};
  client silent{s.http->port()}, slow{s.http->port()}, stuck{s.http->port()};
  slow.try_send("GET / HT"); // on a busy machine it may be dropped before
  stuck.try_send("POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\n" + keyframe_headers + "Content-Length: 100\r\n\r\nsome");
  CHECK(silent.ended());
  CHECK(slow.ended());
  CHECK(stuck.ended());
}

TEST_CASE("Connections beyond the limit are turned away") {
  running_server s{[](server_config& c) { c.max_connections = 3; }};
  {
    client a{s.http->port()}, b{s.http->port()}, c{s.http->port()};
    for (auto* one : {&a, &b, &c}) {
      one->send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
      CHECK(one->receive().status == 200);
    }
    client beyond{s.http->port()};
    CHECK(beyond.receive().status == 503);
  }
  CHECK(eventually([&] { return get(s.http->port(), "/healthz").status == 200; }));
}

TEST_CASE("A token guards everything but health and pages") {
  running_server s{[](server_config& c) { c.token = "open sesame"; }};
  auto port = s.http->port();
  CHECK(get(port, "/").status == 200);
  CHECK(get(port, "/healthz").status == 200);
  auto refused = get(port, "/v1/map");
  CHECK(refused.status == 401);
  CHECK(refused.has("WWW-Authenticate: Bearer"));
  CHECK(get(port, "/v1/map", "Authorization: Bearer wrong\r\n").status == 401);
  CHECK(get(port, "/v1/map", "Authorization: Bearer open sesame\r\n").status == 200);
  CHECK(get(port, "/v1/map?token=open%20sesame").status == 200);
  CHECK(request(port, "POST", "/v1/keyframes", keyframe_headers, "12345").status == 401);
  CHECK(request(port, "POST", "/v1/keyframes", keyframe_headers + "Authorization: Bearer open sesame\r\n", "12345").status
        == 200);
}

TEST_CASE("Other sites' pages cannot reach a server without a token") {
  running_server s;
  auto port = s.http->port();
  CHECK(request(port, "POST", "/v1/keyframes", keyframe_headers + "Origin: https://elsewhere.example\r\n", "12345").status
        == 403);
  CHECK(request(port, "DELETE", "/v1/keyframes/a", "Origin: null\r\n", "").status == 403);
  client rebound{port};
  rebound.send("GET /v1/map HTTP/1.1\r\nHost: rebound.example\r\n\r\n");
  CHECK(rebound.receive().status == 403);
  CHECK(s.sink.offered().empty());
}

TEST_CASE("Starting in the open, or where somebody listens, fails with what to do") {
  running_server s;
  auto start = [&](auto change) {
    server_config config;
    config.port = config.metrics_port = 0;
    change(config);
    server{s.system, s.running, s.sink, config};
  };
  CHECK_THROWS_WITH(start([](server_config& c) { c.bind = "0.0.0.0"; }), Catch::Contains("--token"));
  CHECK_THROWS_WITH(start([](server_config& c) { c.bind = "here"; }), Catch::Contains("here"));
  CHECK_NOTHROW(start([](server_config& c) { c.bind = "localhost"; }));
  CHECK_THROWS_WITH(start([&](server_config& c) { c.port = s.http->port(); }), Catch::Contains("--port"));
  CHECK_THROWS_WITH(start([&](server_config& c) { c.metrics_port = s.http->port(); }), Catch::Contains("--metrics-port"));
  CHECK_NOTHROW(start([](server_config& c) {
    c.bind = "0.0.0.0";
    c.token = "t";
  }));
}

TEST_CASE("Stopping ends idle connections, and can be done twice") {
  running_server s;
  client idle{s.http->port()};
  idle.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(idle.receive().status == 200);
  s.http->stop();
  CHECK(idle.ended());
  s.http->stop();
  CHECK(s.http->port() != 0);
}

TEST_CASE("Many idle connections cost little and disturb nobody") {
  running_server s{[](server_config& c) { c.max_connections = 5000; }};
  std::vector<std::unique_ptr<client>> crowd;
  for (int i = 0; i < 400; ++i)
    crowd.push_back(std::make_unique<client>(s.http->port()));
  CHECK(get(s.http->port(), "/v1/map").status == 200);
  CHECK_THAT(get(s.http->metrics_port(), "/metrics").body, Catch::Contains("tessera_http_connections 40"));
}
