#include "net/server/forwarded.hpp"

#include "net/server/server_core.hpp"
#include "running_server.hpp"

#include <catch2/catch.hpp>

#include <utility>
#include <vector>

using namespace tessera;
using namespace tessera::test;
using boost::asio::ip::make_address;
namespace http = boost::beast::http;

namespace {

using lines = std::vector<std::pair<const char*, const char*>>;

http::request_header<> header_of(const lines& fields) {
  http::request_header<> out;
  for (const auto& [name, value] : fields)
    out.insert(name, value);
  return out;
}

const trusted_proxies inside{"127.0.0.1, 10.0.0.0/8, fd00::/8"};

/// The client of a request that came from `peer`; empty if the header was at fault.
std::string client_in(const lines& fields, const char* peer = "10.0.0.1") {
  const auto header = header_of(fields);
  const auto read = read_forwarded(header, make_address(peer), inside);
  const auto* said = std::get_if<forwarded>(&read);
  return said ? said->client.to_string() : "";
}

} // namespace

TEST_CASE("Proxies are addresses and networks") {
  const trusted_proxies some{" 127.0.0.1,10.0.0.0/8 , 192.168.7.64/26, ::1, fd00::/8"};
  for (const char* one : {"127.0.0.1", "::ffff:127.0.0.1", "10.0.0.0", "10.255.255.255", "192.168.7.64", "192.168.7.127", "::1",
                          "fd00::1", "fdff:ffff::"})
    CHECK(some.contain(make_address(one)));
  for (const char* one :
       {"127.0.0.2", "11.0.0.0", "9.255.255.255", "192.168.7.63", "192.168.7.128", "::2", "fe00::", "::", "0.0.0.0"})
    CHECK_FALSE(some.contain(make_address(one)));
  CHECK_FALSE(trusted_proxies{}.contain(make_address("127.0.0.1")));
  CHECK_FALSE(trusted_proxies{" "}.contain(make_address("::1")));
  CHECK(trusted_proxies{"0.0.0.0/0"}.contain(make_address("8.8.8.8")));
  CHECK_FALSE(trusted_proxies{"0.0.0.0/0"}.contain(make_address("2001:db8::1")));
}

TEST_CASE("A proxy that cannot be is told with its bound") {
  auto [setting, told] = GENERATE(table<const char*, const char*>({
    {"localhost", "\"localhost\" is neither an IPv4 or IPv6 address nor"},
    {"10.0.0.0/33", "\"10.0.0.0/33\" has a prefix that is not 0 to 32"},
    {"10.0.0.0/-1", "not 0 to 32"},
    {"10.0.0.0/", "not 0 to 32"},
    {"10.0.0.0/8x", "not 0 to 32"},
    {"fd00::/129", "not 0 to 128"},
    {"10.0.0.1/8", "\"10.0.0.1/8\" has bits beyond its prefix of 8"},
    {"fd00::1/64", "beyond its prefix of 64"},
    {"10.0.0.1,", "\"\" is neither"},
    {"10.0.0.1,,::1", "\"\" is neither"},
    {"fe80::1%1", "\"fe80::1%1\" is neither"},
    {"127.0.0.1:80", "\"127.0.0.1:80\" is neither"},
  }));
  CHECK_THROWS_WITH(trusted_proxies{setting}, Catch::StartsWith("trusted-proxy: ") && Catch::Contains(told));
}

TEST_CASE("The client is the last address that is not a trusted proxy's") {
  const auto name = "X-Forwarded-For";
  CHECK(client_in({}) == "10.0.0.1");
  CHECK(client_in({{name, "8.8.8.8"}}) == "8.8.8.8");
  CHECK(client_in({{name, "8.8.8.8"}}, "9.9.9.9") == "9.9.9.9");
  CHECK(client_in({{name, "6.6.6.6, 8.8.8.8"}}) == "8.8.8.8");
  CHECK(client_in({{name, "6.6.6.6,8.8.8.8, 10.0.0.7 ,\t127.0.0.1"}}) == "8.8.8.8");
  CHECK(client_in({{name, "6.6.6.6"}, {name, "8.8.8.8"}, {"x-forwarded-for", "10.1.1.1"}}) == "8.8.8.8");
  CHECK(client_in({{name, "10.0.0.9, 10.0.0.8"}}) == "10.0.0.9");
  CHECK(client_in({{name, ""}}) == "10.0.0.1");
  CHECK(client_in({{name, ", 8.8.8.8, ,"}}) == "8.8.8.8");
  CHECK(client_in({{name, "8.8.8.8:1234"}}) == "8.8.8.8");
  CHECK(client_in({{name, "2001:db8::1"}}) == "2001:db8::1");
  CHECK(client_in({{name, "[2001:db8::1]"}}) == "2001:db8::1");
  CHECK(client_in({{name, "[2001:db8::1]:443"}}) == "2001:db8::1");
}

TEST_CASE("What stands before the client is not looked at, and what cannot be is a fault") {
  const auto name = "X-Forwarded-For";
  CHECK(client_in({{name, "<script>, 8.8.8.8"}}) == "8.8.8.8");
  for (const char* bad : {"unknown", "8.8.8", "8.8.8.8.8", "8.8.8.8:x", "[8.8.8.8", "_hidden", "8.8.8.8, unknown", "localhost"})
    CHECK(client_in({{name, bad}}).empty());
  const auto header = header_of({{name, "unknown"}});
  const auto read = read_forwarded(header, make_address("10.0.0.1"), inside);
  REQUIRE(std::holds_alternative<header_fault>(read));
  CHECK(std::get<header_fault>(read).field == std::string(name));
  CHECK(std::get<header_fault>(read).reason == "it is 'unknown', expected addresses of IPv4 or IPv6 with commas");
}

TEST_CASE("Of schemes and hosts the last counts") {
  const auto read = [](const lines& fields) {
    static http::request_header<> header;
    header = header_of(fields);
    return read_forwarded(header, make_address("10.0.0.1"), inside);
  };
  const auto none = std::get<forwarded>(read({}));
  CHECK((none.scheme.empty() && none.host.empty()));
  const auto both = std::get<forwarded>(
    read({{"X-Forwarded-Proto", "http, HTTPS"}, {"X-Forwarded-Host", "a.example"}, {"X-Forwarded-Host", "b.example:444"}}));
  CHECK(both.scheme == "https");
  CHECK(both.host == "b.example:444");
  for (const lines& bad : {lines{{"X-Forwarded-Proto", "wss"}}, lines{{"X-Forwarded-Host", "a b"}},
                           lines{{"X-Forwarded-Host", "a.example:port"}}, lines{{"X-Forwarded-Host", "https://a.example"}}})
    CHECK(std::holds_alternative<header_fault>(read(bad)));
}

TEST_CASE("A place moves to another client, and counts once") {
  connection_places places{4}; // two of one client
  const auto proxy = make_address("10.0.0.1"), a = make_address("1.1.1.1"), b = make_address("2.2.2.2");
  auto first = places.take(proxy), second = places.take(proxy);
  REQUIRE((first && second));
  CHECK_FALSE(places.take(proxy));
  CHECK(first->move_to(a));
  CHECK(first->move_to(a)); // it is there
  auto third = places.take(proxy);
  REQUIRE(third);
  CHECK_FALSE(places.take(proxy));
  CHECK(second->move_to(a));
  CHECK_FALSE(third->move_to(a)); // it has its half, and the place stays where it was
  CHECK_FALSE(places.take(a));
  CHECK(third->move_to(b));
  CHECK(third->move_to(proxy));
  auto fourth = places.take(proxy);
  REQUIRE(fourth);
  CHECK_FALSE(places.take(b)); // all are taken
  for (auto* one : {&first, &second, &third, &fourth})
    one->reset();
  auto again = places.take(a), more = places.take(a);
  CHECK((again && more));
  CHECK_FALSE(places.take(a));
}

TEST_CASE("Each request of a trusted proxy's connection counts for its client") {
  running_server s{[](server_config& c) {
    c.max_connections = 5; // three of one client
    c.proxies = trusted_proxies{"127.0.0.1"};
    c.insecure = true; // others come through the proxy
  }};
  const auto port = s.http->port();
  const auto status = [](client& one, const std::string& from) {
    one.send("GET /v1/map HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: " + from + "\r\n\r\n");
    return one.receive().status;
  };
  client a{port}, b{port}, c{port}, d{port, "127.0.0.9"};
  for (auto* one : {&a, &b, &c})
    CHECK(status(*one, "8.8.8.8") == 200);
  client e{port}; // the proxy has none of its own any more
  e.send("GET /v1/map HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 8.8.8.8\r\n\r\n");
  const auto refused = e.receive();
  CHECK(refused.status == 503);
  CHECK(refused.has("Connection: close"));
  CHECK(refused.has("Retry-After: 1"));
  e.end_of_sending();
  CHECK(e.ended());
  CHECK(status(a, "9.9.9.9") == 200);
  CHECK(status(d, "8.8.8.8") == 200); // it is not trusted: whatever it says, it is itself
  CHECK(eventually([&] {
    client again{port};
    return status(again, "8.8.8.8") == 200;
  }));
}

TEST_CASE("What a trusted proxy says that cannot be is a bad request, and what others say is not looked at") {
  running_server s{[](server_config& c) {
    c.proxies = trusted_proxies{"127.0.0.1"};
    c.insecure = true;
  }};
  for (const auto& [line, field] : {std::pair{"X-Forwarded-For: unknown\r\n", "X-Forwarded-For"},
                                    {"X-Forwarded-Proto: gopher\r\n", "X-Forwarded-Proto"},
                                    {"X-Forwarded-Host: a b\r\n", "X-Forwarded-Host"}}) {
    const auto refused = get(s.http->port(), "/v1/map", line);
    CHECK(refused.status == 400);
    CHECK(refused.json()["field"] == field);
    client other{s.http->port(), "127.0.0.2"};
    other.send(std::string("GET /v1/map HTTP/1.1\r\nHost: localhost\r\n") + line + "\r\n");
    CHECK(other.receive().status == 200);
  }
}

TEST_CASE("Pages are told apart by the host and the scheme that a trusted proxy was asked by") {
  running_server s{[](server_config& c) { c.proxies = trusted_proxies{"127.0.0.1"}; }};
  const auto status = [&](const std::string& headers) { return get(s.http->port(), "/v1/map", headers).status; };
  const std::string by_https = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\n",
                    host = "X-Forwarded-Host: localhost:443\r\n";
  CHECK(status(by_https + host + "Origin: https://localhost\r\n") == 200);
  CHECK(status(by_https + host + "Origin: https://localhost:443\r\n") == 200);
  CHECK(status(by_https + host + "Origin: http://localhost:443\r\n") == 403);
  CHECK(status(by_https + host + "Origin: https://localhost:8443\r\n") == 403);
  CHECK(status(by_https + "X-Forwarded-Host: localhost:8443\r\nOrigin: https://localhost:8443\r\n") == 200);
  CHECK(status(by_https + "X-Forwarded-Host: maps.example.org\r\n") == 403); // without a token it is for this machine alone
  CHECK(status("Origin: http://localhost\r\n") == 200);                      // said of nothing, Host counts
}

TEST_CASE("Without a token nobody comes through a proxy who is not known to be on this machine") {
  running_server s{[](server_config& c) { c.proxies = trusted_proxies{"127.0.0.1"}; }};
  const auto status = [&](const char* from, const std::string& headers) {
    client one{s.http->port(), from};
    one.send("GET /v1/map HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n");
    return one.receive().status;
  };
  CHECK(status("127.0.0.1", "") == 200);
  CHECK(status("127.0.0.1", "X-Forwarded-For: 127.0.0.1\r\n") == 200);
  CHECK(status("127.0.0.1", "X-Forwarded-For: 8.8.8.8\r\n") == 403);
  CHECK(status("127.0.0.1", "X-Forwarded-For: 8.8.8.8\r\nX-Forwarded-Host: localhost\r\n") == 403);
  for (const char* line : {"X-Forwarded-Proto: https\r\n", "X-Forwarded-Host: localhost\r\n", "Forwarded: for=127.0.0.1\r\n",
                           "Via: 1.1 proxy\r\n", "X-Real-IP: 127.0.0.1\r\n"}) {
    INFO(line);
    CHECK(status("127.0.0.1", line) == 403);
    CHECK(status("127.0.0.2", line) == 403);
  }
  CHECK(status("127.0.0.2", "X-Forwarded-For: 127.0.0.1\r\n") == 403); // nobody believes it
  CHECK(status("127.0.0.2", "") == 200);
}
