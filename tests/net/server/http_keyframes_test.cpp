#include "running_server.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::test;

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

TEST_CASE("A keyframe that was retracted before it came is settled, and its retraction says that it stays out") {
  running_server s;
  const auto port = s.http->port();
  s.sink.answer_with({outcome::retracted, "it was retracted"});
  const auto late = request(port, "POST", "/v1/keyframes", keyframe_headers, "12345");
  CHECK(late.status == 200);
  CHECK(late.json() == nlohmann::json{{"outcome", "retracted"}});
  s.sink.answer_with({outcome::unknown, "one that comes stays out"});
  const auto gone = request(port, "DELETE", "/v1/keyframes/9", "", "");
  CHECK(gone.status == 404);
  CHECK(gone.json()["reason"] == "there is no live keyframe of that id; one that comes stays out");
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
  CHECK(request(port, "DELETE", "/v1/keyframes?before=1970-01-01T01%3A00:02.5%2B01:00&group=a", "", "").status == 200);
  CHECK(request(port, "DELETE", "/v1/keyframes?before=17", "", "").status == 200);
  const auto cleared = s.sink.cleared();
  REQUIRE(cleared.size() == 4);
  CHECK(cleared[0] == keyframe_selection{});
  CHECK(cleared[1] == keyframe_selection{"a b", "amqp", ""});
  CHECK(cleared[2] == keyframe_selection{{}, {}, "a", 2'500'000'000});
  CHECK(cleared[3] == keyframe_selection{{}, {}, {}, 17});
  for (const auto& [query, field] : std::vector<std::pair<std::string, std::string>>{{"?sesion=a", "sesion"},
                                                                                     {"?session=a&session=b", "session"},
                                                                                     {"?group=%zz", "group"},
                                                                                     {"?session=%0a", "session"},
                                                                                     {"?group=" + std::string(65, 'x'), "group"},
                                                                                     {"?before=", "before"},
                                                                                     {"?before=yesterday", "before"},
                                                                                     {"?before=%ff", "before"},
                                                                                     {"?before=%zz", "before"},
                                                                                     {"?before=5&before=5", "before"},
                                                                                     {"?before=-5", "before"},
                                                                                     {"?id=7", "id"}}) {
    INFO(query);
    auto refused = request(port, "DELETE", "/v1/keyframes" + query, "", "");
    CHECK(refused.status == 400);
    CHECK(refused.json()["field"] == field);
  }
  CHECK(request(port, "DELETE", "/v1/keyframes", "", "a body").status == 400);
  CHECK(s.sink.cleared().size() == 4);
  CHECK(
    request(port, "DELETE", "/v1/keyframes?before=yesterday", "", "").json()["reason"]
    == "before (\"yesterday\") is not a time, as 2026-11-29T22:15:00Z or 2026-11-29T23:15:00.5+01:00 (RFC 3339), or nanoseconds "
       "since 1970");
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

TEST_CASE("A new pose may be four lists of four, and carry a number") {
  running_server s;
  auto port = s.http->port();
  request(port, "POST", "/v1/keyframes", keyframe_headers, "12345");
  const std::string json = "Content-Type: application/json\r\n";
  const auto put = [&](const std::string& body) { return request(port, "PUT", "/v1/keyframes/k%201/pose", json, body); };
  CHECK(put(R"({"pose":[[1,0,0,4],[0,1,0,5],[0,0,1,6],[0,0,0,1]],"revision":18446744073709551615})").status == 200);
  CHECK(put(R"([1,0,0,4,0,1,0,5,0,0,1,6,0,0,0,1])").status == 200);
  CHECK(s.sink.revised()[0].second.m[11] == 6);
  CHECK(s.sink.numbers() == std::vector<std::optional<uint64_t>>{~0ull, std::nullopt});
  const auto bad = put(R"({"pose":[[1,0,0,4],[0,1,0,5],[0,0,1,6],[0,0,0,1]],"revision":-1})");
  CHECK(bad.status == 400);
  CHECK(bad.json()["reason"] == "revision is -1, must not be negative");
}

TEST_CASE("Many keyframes and groups are moved at once, in JSON or MessagePack, and the answer counts them") {
  running_server s;
  auto port = s.http->port();
  const auto post = [&](const std::string& type, const std::string& body) {
    return request(port, "POST", "/v1/keyframes:revise", "Content-Type: " + type + "\r\n", body);
  };
  const nlohmann::json flat{1, 0, 0, 4, 0, 1, 0, 5, 0, 0, 1, 6, 0, 0, 0, 1};
  const nlohmann::json many{{"session", "monday"},
                            {"revision", 5},
                            {"revisions",
                             {{{"id", "a"}, {"pose", flat}},
                              {{"id", 7}, {"session", ""}, {"pose", {{1, 0, 0, 4}, {0, 1, 0, 5}, {0, 0, 1, 6}, {0, 0, 0, 1}}}},
                              {{"group", "upstairs"}, {"transform", flat}, {"revision", 6}}}}};
  verdict said{outcome::accepted, "", 3, {1, 2, 0, 0}};
  s.sink.answer_with(said);
  const auto packed = nlohmann::json::to_msgpack(many);
  for (const auto& answer :
       {post("application/json; charset=utf-8", many.dump()), post("application/msgpack", {packed.begin(), packed.end()}),
        post("application/x-msgpack", {packed.begin(), packed.end()})}) {
    CHECK(answer.status == 200);
    CHECK(
      answer.json()
      == nlohmann::json{{"outcome", "accepted"}, {"moved", 3}, {"duplicate", 1}, {"unknown", 2}, {"refused", 0}, {"not_now", 0}});
  }
  const auto corrected = s.sink.corrected();
  REQUIRE(corrected.size() == 3);
  for (const auto& one : corrected) {
    REQUIRE(one.entries.size() == 3);
    CHECK(one.entries[0].id == keyframe_id{"a", "monday"});
    CHECK(one.entries[0].number == 5u);
    CHECK(one.entries[1].id == keyframe_id{"7"});
    CHECK(one.entries[1].to == one.entries[0].to);
    CHECK(one.entries[2].id == keyframe_id{});
    CHECK(one.entries[2].group == "upstairs");
    CHECK(one.entries[2].to.m[3] == 4);
    CHECK(one.entries[2].number == 6u);
  }
  CHECK(post("application/json", nlohmann::json{{"group", "g"}, {"transform", flat}, {"revision", 1}}.dump()).status == 200);
  CHECK(post("application/json", nlohmann::json{{"id", "a"}, {"pose", flat}}.dump()).status == 200);
  CHECK(s.sink.corrected().size() == 5);

  said = {outcome::not_now, "2 keyframes were moved, and 1 not yet: full", 2, {0, 0, 0, 1}};
  s.sink.answer_with(said);
  auto answer = post("application/json", many.dump());
  CHECK(answer.status == 503);
  CHECK(answer.has("Retry-After: "));
  CHECK(answer.json()
        == nlohmann::json{{"error", "not_now"},
                          {"reason", said.reason},
                          {"moved", 2},
                          {"duplicate", 0},
                          {"unknown", 0},
                          {"refused", 0},
                          {"not_now", 1}});
  s.sink.answer_with({outcome::refused, "revisions[1]: pose is not rigid"});
  answer = post("application/json", many.dump());
  CHECK(answer.status == 422);
  CHECK(answer.json()["reason"] == "revisions[1]: pose is not rigid");
}

TEST_CASE("A correction that cannot be understood says which entry and which field is bad, and moves nothing") {
  running_server s;
  auto port = s.http->port();
  const auto why = [&](const std::string& body, const std::string& type = "application/json") {
    const auto answer = request(port, "POST", "/v1/keyframes:revise", "Content-Type: " + type + "\r\n", body);
    CHECK(answer.status == 400);
    return answer.json()["reason"].get<std::string>();
  };
  const std::string flat = "[1,0,0,4,0,1,0,5,0,0,1,6,0,0,0,1]", good = R"({"id":"a","pose":)" + flat + "},";
  const auto in_list = [&](const std::string& entry) { return why(R"({"revisions":[)" + good + entry + "]}"); };
  CHECK(why("") == "the body is not JSON");
  CHECK(why("[]") == "body is a list, must be a map");
  CHECK(why(std::string(1000, '[')) == "the body is nested deeper than 5 levels");
  CHECK(why(R"({"revisions":[]})") == "revisions has 0 entries, must have 1 to 65536");
  CHECK(why(R"({"revisions":7})") == "revisions is an integer, must be a list");
  CHECK(why(R"({"revisions":[],"sesion":""})") == "sesion is not known; there can be revisions, session and revision");
  CHECK(why("{}") == "id is missing, or group");
  CHECK(why("\x81", "application/msgpack").starts_with("message"));
  CHECK(in_list("7") == "revisions[1] is an integer, must be a map");
  CHECK(in_list(R"({"id":"b"})") == "revisions[1].pose is missing");
  CHECK(in_list(R"({"id":"b","pose":[1,2]})") == "revisions[1].pose has 2 elements, must have 4");
  CHECK(in_list(R"({"id":"b","pose":[1,0,0,1e39,0,1,0,5,0,0,1,6,0,0,0,1]})").starts_with("revisions[1].pose[3] is 9"));
  CHECK(in_list(R"({"id":"b","scale":2,"pose":)" + flat + "}").starts_with("revisions[1].scale is not known"));
  CHECK(in_list(R"({"id":"b","group":"g","pose":)" + flat + "}").starts_with("revisions[1].group is beside id"));
  CHECK(in_list(R"({"group":"","transform":)" + flat + "}") == "revisions[1].group is empty");
  CHECK(in_list(R"({"group":"g","pose":)" + flat + "}").starts_with("revisions[1].pose is beside group"));
  CHECK(in_list(R"({"id":"b","revision":"7","pose":)" + flat + "}") == "revisions[1].revision is a text, must be an integer");
  CHECK(request(port, "POST", "/v1/keyframes:revise", "Content-Type: text/plain\r\n", "{}").status == 415);
  CHECK(request(port, "GET", "/v1/keyframes:revise", "", "").status == 405);
  CHECK(s.sink.corrected().empty());
}
