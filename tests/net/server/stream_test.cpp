#include "running_server.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::test;

namespace {

const std::string subscribe_all = R"({"type":"subscribe","epoch":"","have":[]})";

std::string ack_of(const patch_header& h) {
  return nlohmann::json{{"type", "ack"}, {"patches", {{h.region.x, h.region.y, h.region.z, std::to_string(h.version)}}}}.dump();
}

} // namespace

TEST_CASE("A viewer is greeted, gets the whole map, then changes") {
  running_server s;
  auto first = s.publish(0, 1), second = s.publish(100, 2);
  camera c{{"k1"}, 9, {}, false};
  caf::anon_send(s.running.broadcaster.get(), camera_atom::value, std::vector<camera>{c});
  viewer v{s.http->port()};
  CHECK(v.response["Sec-WebSocket-Protocol"] == "tessera.v1");
  auto hello = nlohmann::json::parse(v.hear().value());
  CHECK(hello["type"] == "hello");
  CHECK(hello["epoch"] == "epoch-1");
  v.say(subscribe_all);
  CHECK(v.hear_json("cameras")["cameras"][0]["id"] == "k1");
  std::map<region_key, uint64_t> got;
  for (int i = 0; i < 2; ++i) {
    auto h = v.hear_patch();
    REQUIRE(h);
    got[h->region] = h->version;
  }
  CHECK(got == std::map<region_key, uint64_t>{{first.region, 1}, {second.region, 2}});
  auto changed = s.publish(0, 3);
  auto h = v.hear_patch();
  REQUIRE(h);
  CHECK(h->version == 3);
  CHECK(h->received_ns == 60);
  CHECK(v.last_patch == std::string(reinterpret_cast<const char*>(changed.frame->data()), changed.frame->size()));
  CHECK(v.hear_json("stats")["viewers"] == 1);
}

TEST_CASE("A viewer that comes back gets only what it missed") {
  running_server s;
  s.publish(0, 1);
  s.publish(100, 2);
  viewer v{s.http->port()};
  v.say(R"({"type":"subscribe","epoch":"epoch-1","have":[[0,0,-1,"1"],[7,7,7,"1"]]})");
  std::map<region_key, patch_header::patch_kind> got;
  for (int i = 0; i < 2; ++i) {
    auto h = v.hear_patch();
    REQUIRE(h);
    got[h->region] = h->kind;
  }
  CHECK(got
        == std::map<region_key, patch_header::patch_kind>{{{100, 0, -1}, patch_header::patch_kind::surface},
                                                          {{7, 7, 7}, patch_header::patch_kind::empty}});
}

TEST_CASE("A patch is one buffer, whoever gets it") {
  running_server s;
  auto p = encode_patch(region_of_ground(0, 16, 16, 0.02f, 1), running_server::quantum, 0, 0);
  caf::anon_send(s.running.broadcaster.get(), patch_atom::value, p);
  std::vector<std::unique_ptr<viewer>> viewers;
  for (int i = 0; i < 5; ++i) {
    viewers.push_back(std::make_unique<viewer>(s.http->port()));
    viewers.back()->say(subscribe_all);
    REQUIRE(viewers.back()->hear_patch());
  }
  // The copies that the board and the sessions keep share this one's bytes.
  bool same = false;
  caf::scoped_actor self{s.system};
  self->request(s.running.broadcaster.get(), std::chrono::seconds{120}, patch_atom::value, p.region)
    .receive([&](const patch& kept) { same = kept.frame.get() == p.frame.get(); }, [](caf::error&) {});
  CHECK(same);
}

TEST_CASE("What a viewer says wrongly is answered, and it stays") {
  running_server s;
  viewer v{s.http->port()};
  CHECK(nlohmann::json::parse(v.hear().value())["type"] == "hello");
  for (auto [text, wanted] : {std::pair<std::string, const char*>{"garbage", "not JSON"},
                              {R"({"type":"shout"})", "type is \"shout\""},
                              {std::string(100'000, '['), "nests deeper"},
                              {R"({"type":"view","position":[1]})", "position"}}) {
    v.say(text);
    CHECK_THAT(v.hear_json("error")["message"].get<std::string>(), Catch::Contains(wanted));
  }
  s.publish(0, 1);
  v.say(subscribe_all);
  CHECK(v.hear_patch());
  CHECK_THAT(get(s.http->port(), "/metrics").body, Catch::Contains("tessera_stream_bad_frames_total 4\n"));
}

TEST_CASE("A frame may come in fragments, and must not be too large") {
  running_server s;
  s.publish(0, 1);
  {
    viewer v{s.http->port()};
    v.socket().auto_fragment(false);
    v.socket().text(true);
    for (char c : subscribe_all.substr(0, subscribe_all.size() - 1))
      v.socket().write_some(false, asio::buffer(&c, 1));
    v.socket().write_some(true, asio::buffer(&subscribe_all.back(), 1));
    CHECK(v.hear_patch());
  }
  {
    viewer v{s.http->port()};
    boost::system::error_code ignored;
    v.socket().text(true);
    v.socket().write(asio::buffer(std::string((1 << 20) + 1, ' ')), ignored);
    while (v.hear())
      ;
    CHECK(v.closed == 1009);
  }
  {
    // As many regions as fit into what `hello` tells, and one byte more.
    viewer v{s.http->port()};
    const auto limit = v.hear_json("hello")["max_text_bytes"].get<size_t>();
    std::string many = R"({"type":"subscribe","epoch":"epoch-1","have":[[-1000,-1000,1000,"4294967297"])";
    const std::string one = R"(,[-1000,-1000,1000,"4294967297"])", end = "]}";
    while (many.size() + one.size() + end.size() <= limit)
      many += one;
    many += std::string(limit - many.size() - end.size(), ' ') + end;
    REQUIRE(many.size() == limit);
    v.say(many);
    v.hear_json("stats");
    boost::system::error_code ignored;
    v.socket().write(asio::buffer(many + " "), ignored);
    while (v.hear())
      ;
    CHECK(v.closed == 1009);
  }
  {
    viewer v{s.http->port()};
    v.socket().binary(true);
    v.socket().write(asio::buffer("x", 1));
    while (v.hear())
      ;
    CHECK(v.closed == 1003);
  }
  {
    viewer v{s.http->port()};
    v.socket().text(true);
    v.socket().write(asio::buffer("\xff\xfe", 2));
    while (v.hear())
      ;
    CHECK(v.closed == 1007);
  }
  CHECK(get(s.http->port(), "/healthz").status == 200);
}

TEST_CASE("What viewers say at length is bounded as the bodies of requests are, all together") {
  running_server s; // whose budget is 16 MiB, for one client half of it
  s.publish(0, 1);
  const std::string part(600 << 10, ' ');
  std::vector<std::unique_ptr<viewer>> crowd;
  for (int i = 0; i < 20; ++i) {
    crowd.push_back(std::make_unique<viewer>(s.http->port()));
    auto& one = *crowd.back();
    one.hear_json("hello");
    one.socket().auto_fragment(false);
    one.socket().text(true);
    boost::system::error_code ignored;
    one.socket().write_some(false, asio::buffer(part), ignored); // the end never comes
  }
  const auto is_told = [](viewer& one) { // nothing else is said to who has not subscribed
    char byte = 0;
    return ::recv(one.socket().next_layer().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
  };
  CHECK(eventually([&] { return std::count_if(crowd.begin(), crowd.end(), [&](auto& one) { return is_told(*one); }) >= 12; }));
  for (auto& one : crowd)
    if (is_told(*one)) {
      CHECK(!one->hear());
      CHECK(one->closed == 1013);
    }
  crowd.clear();
  viewer v{s.http->port()};
  v.say(subscribe_all.substr(0, subscribe_all.size() - 1) + std::string(600 << 10, ' ') + "}");
  CHECK(v.hear_patch());
}

TEST_CASE("Who may look on is decided before the handshake") {
  auto refused = [](uint16_t port, const std::string& target, const std::string& origin, const char* protocol = "tessera.v1") {
    try {
      viewer v{port, target, origin, protocol};
      return false;
    } catch (const boost::system::system_error&) {
      return true;
    }
  };
  {
    running_server s;
    CHECK(refused(s.http->port(), "/v1/stream", "https://elsewhere.example"));
    CHECK(refused(s.http->port(), "/v1/stream", "null"));
    CHECK_FALSE(refused(s.http->port(), "/v1/stream", "http://localhost:" + std::to_string(s.http->port())));
    CHECK_FALSE(refused(s.http->port(), "/v1/stream", "", nullptr));
    CHECK(refused(s.http->port(), "/v1/stream", "", "other.v1"));
    CHECK_FALSE(refused(s.http->port(), "/v1/stream", "", "other.v1, tessera.v1"));
    for (const auto& [offered, chosen] : {std::pair{"tessera.v1", "tessera.v1"},
                                          {"tessera.v2", "tessera.v2"},
                                          {"tessera.v1, tessera.v2", "tessera.v2"},
                                          {"tessera.v3,tessera.v1", "tessera.v1"}}) {
      viewer v{s.http->port(), "/v1/stream", "", offered};
      CHECK(v.response["Sec-WebSocket-Protocol"] == chosen);
      CHECK(nlohmann::json::parse(*v.hear())["protocol"] == chosen);
    }
    CHECK(refused(s.http->port(), "/v1/map", ""));
  }
  running_server s{[](server_config& c) { c.token = "t"; }};
  CHECK(refused(s.http->port(), "/v1/stream", ""));
  CHECK(refused(s.http->port(), "/v1/stream?token=u", ""));
  CHECK_FALSE(refused(s.http->port(), "/v1/stream?token=t", "https://elsewhere.example"));
}

TEST_CASE("Stopping says goodbye to viewers") {
  running_server s;
  viewer v{s.http->port()};
  REQUIRE(v.hear());
  std::thread stopping{[&] { s.http->stop(); }};
  while (v.hear())
    ;
  stopping.join();
  CHECK(v.closed == 1001);
}

TEST_CASE("When its session ends, a viewer is told to come again") {
  running_server s;
  viewer v{s.http->port()};
  REQUIRE(v.hear());
  v.say(subscribe_all);
  v.hear_json("stats");
  caf::anon_send_exit(s.running.broadcaster.get(), caf::exit_reason::kill);
  while (v.hear())
    ;
  CHECK(v.closed == 1013);
}

TEST_CASE("A viewer that is gone leaves nothing behind") {
  running_server s;
  auto sessions = [&] { return s.running.context.numbers->sessions.load(); };
  {
    viewer polite{s.http->port()}, rude{s.http->port()};
    for (auto* v : {&polite, &rude}) {
      v->say(subscribe_all);
      v->hear_json("stats");
    }
    CHECK(sessions() == 2);
    polite.socket().close(boost::beast::websocket::close_code::normal);
  } // the other one just goes
  CHECK(eventually([&] { return sessions() == 0; }));
  CHECK(eventually(
    [&] { return get(s.http->metrics_port(), "/metrics").body.find("tessera_stream_connections 0\n") != std::string::npos; }));
}

TEST_CASE("One that neither speaks nor answers pings is dropped") {
  running_server s{[](server_config& c) { c.timeouts.stream_idle = std::chrono::milliseconds{200}; }};
  client half_open{s.http->port()};
  half_open.send("GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: "
                 "Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  CHECK(half_open.receive().status == 101);
  CHECK(half_open.ended());
}

TEST_CASE("A viewer that stops reading does not hold up another, and catches up with the newest") {
  running_server s;
  viewer stalled{s.http->port()}, other{s.http->port()};
  stalled.say(subscribe_all);
  other.say(subscribe_all);
  REQUIRE(stalled.hear());
  uint64_t last = 60;
  for (uint64_t version = 1; version <= last; ++version) {
    s.publish(0, version, 120);
    auto h = other.hear_patch();
    REQUIRE(h);
    other.say(ack_of(*h));
    CHECK(h->version <= version);
  }
  std::optional<patch_header> h;
  int frames = 0;
  do {
    h = stalled.hear_patch();
    REQUIRE(h);
    stalled.say(ack_of(*h));
    ++frames;
  } while (h->version < last);
  CHECK(frames < static_cast<int>(last)); // what was outdated was never sent
}

TEST_CASE("Nothing is sent to a viewer that did not ask") {
  running_server s;
  viewer v{s.http->port()};
  REQUIRE(v.hear());
  s.publish(0, 1);
  v.say("?");
  REQUIRE(v.hear()); // the error comes next, no patch before it
  CHECK(v.socket().got_text());
}
