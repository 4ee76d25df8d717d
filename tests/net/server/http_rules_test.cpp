#include "net/server/http_rules.hpp"

#include <catch2/catch.hpp>

#include <utility>
#include <vector>

using namespace tessera;

namespace {

using fields = std::vector<std::pair<std::string, std::string>>;

std::optional<header_fault> fault_of(const fields& given, unsigned version = 11, const char* target = "/v1/map") {
  http::request_header<> header;
  header.version(version);
  header.method(http::verb::post);
  header.target(target);
  for (const auto& [name, value] : given)
    header.insert(name, value);
  return find_fault(header);
}

fields with_host(fields more) {
  more.emplace_back("Host", "localhost:8080");
  return more;
}

} // namespace

TEST_CASE("One way to tell a body's end is understood") {
  CHECK_FALSE(fault_of(with_host({})));
  CHECK_FALSE(fault_of(with_host({{"Content-Length", "12"}})));
  for (const char* coding : {"chunked", "Chunked", "CHUNKED", "chunked ", "\tchunked"}) {
    INFO(coding);
    CHECK_FALSE(fault_of(with_host({{"Transfer-Encoding", coding}})));
  }
}

TEST_CASE("Any other coding of a body is not implemented, and says what it was") {
  for (const char* coding : {"", "identity", "gzip", "gzip, chunked", "chunked, gzip", "chunked, identity", "identity, chunked",
                             "chunked, chunked", "chunked,", ", chunked", "xchunked", "chunkedx", "chunked;q=1", "\"chunked\"",
                             "chun ked", "\vchunked", "chunked\v", "x", "chunked\x80"}) {
    INFO(coding);
    auto fault = fault_of(with_host({{"Transfer-Encoding", coding}}));
    REQUIRE(fault);
    CHECK(fault->status == http::status::not_implemented);
    CHECK_THAT(fault->reason, Catch::Contains("chunked"));
    CHECK(std::string(fault->field) == "Transfer-Encoding");
  }
}

TEST_CASE("Two ways to tell a body's end are refused") {
  const std::vector<fields> bad{
    {{"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}},
    {{"Transfer-Encoding", "identity"}, {"Transfer-Encoding", "chunked"}},
    {{"Transfer-Encoding", "chunked"}, {"transfer-encoding", "identity"}},
    {{"Transfer-Encoding", "chunked"}, {"Content-Length", "0"}},
    {{"Content-Length", "5"}, {"Transfer-Encoding", "chunked"}},
    {{"Content-Length", "5"}, {"Transfer-Encoding", "identity"}},
    {{"Content-Length", "5"}, {"Content-Length", "5"}},
    {{"Content-Length", "5"}, {"Content-Length", "6"}},
    {{"Content-Length", "5, 5"}},
    {{"Content-Length", "+5"}},
    {{"Content-Length", "-1"}},
    {{"Content-Length", "0x5"}},
    {{"Content-Length", "5 5"}},
    {{"Content-Length", ""}},
  };
  for (size_t i = 0; i < bad.size(); ++i) {
    INFO(i);
    auto fault = fault_of(with_host(bad[i]));
    REQUIRE(fault);
    CHECK(fault->status == http::status::bad_request);
  }
  CHECK(fault_of(with_host({{"Transfer-Encoding", "chunked"}}), 10));
}

TEST_CASE("A request is for exactly one host, which is one") {
  CHECK(fault_of({}));
  CHECK_FALSE(fault_of({}, 10));
  CHECK(fault_of({{"Host", "a"}, {"Host", "a"}}));
  CHECK(fault_of({{"Host", "a"}, {"Host", "a"}}, 10));
  for (const char* host : {"a", "a:80", "a:", "A.example:65535", "127.0.0.1", "[::1]", "[::1]:8080", "a_b", "x%20y"})
    CHECK_FALSE(fault_of({{"Host", host}}));
  for (const char* host : {"",
                           ":80",
                           "a:b",
                           "a:80:80",
                           "a:65536",
                           "a:-1",
                           "a b",
                           "a/b",
                           "http://a",
                           "user@a",
                           "127.0.0.1:x@evil.example",
                           "127.0.0.1:80@evil.example",
                           "[::1].evil.example",
                           "[::1]x:80",
                           "[::1",
                           "::1",
                           "[127.0.0.1]",
                           "[::1%25lo]",
                           "[]",
                           "a\x80",
                           "localhost#",
                           "a?b"}) {
    INFO(host);
    CHECK(fault_of({{"Host", host}}));
  }
  CHECK_FALSE(fault_of({{"Host", "localhost:1"}}, 11, "http://localhost:1/v1/map"));
  CHECK(fault_of({{"Host", "localhost:1"}}, 11, "http://evil.example/v1/map"));
  CHECK(fault_of({{"Host", "localhost:1"}}, 11, "http://user@localhost:1/v1/map"));
}

TEST_CASE("A folded line is seen, in the header alone") {
  CHECK(has_folded_line("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"));
  CHECK(has_folded_line("GET / HTTP/1.1\r\n\tA: b\r\n"));
  CHECK_FALSE(has_folded_line("GET / HTTP/1.1\r\nA: b\r\n\r\nbody\r\n more"));
  CHECK_FALSE(has_folded_line("\r\nbody\r\n more"));
  CHECK_FALSE(has_folded_line(""));
}

TEST_CASE("Accept-Encoding names codings, and those that it does not want") {
  for (const char* list : {"gzip", "br, GZip", "gzip;q=0.5, *;q=0", "*", "br ; q=1 , gzip ; q=0.001", "deflate,*;q=0.1"}) {
    INFO(list);
    CHECK(accepts_coding(list, "gzip"));
  }
  for (const char* list : {"", "br", "gzip;q=0", "gzip; Q=0.000", "*;q=0", "gzip;q=0, *", "xgzip", "identity"}) {
    INFO(list);
    CHECK_FALSE(accepts_coding(list, "gzip"));
  }
}

TEST_CASE("If-None-Match names tags in a list, weak ones and any") {
  for (const char* list : {"\"a\"", "W/\"a\"", "*", " * ", "\"b\", \"a\"", "\"b\",W/\"a\"", "W/\"b\" , W/\"a\" , \"c\"",
                           "\"x,y\", \"a\"", ", \"a\""}) {
    INFO(list);
    CHECK(names_tag(list, "\"a\""));
  }
  for (const char* list :
       {"", "a", "\"b\"", "\"aa\"", "\"b\" \"a\"", "w/\"a\"", "\"b, \\\"a\\\"", "**", "\"*\"", "\"a", "x\"a\""}) {
    INFO(list);
    CHECK_FALSE(names_tag(list, "\"a\""));
  }
  CHECK(names_tag("\"a\"", "W/\"a\""));
}
