// A whole HTTP request: Beast takes it apart, and its target and what proxies say are ours.

#include "net/server/forwarded.hpp"
#include "net/server/http_target.hpp"

#include "require.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http.hpp>

using namespace tessera;
namespace http = boost::beast::http;

static void route(std::string_view text) {
  auto target = parse_target(text);
  require(to_string(target.what)[0] != '\0');
  if (target.what == resource::asset)
    require(!target.path.empty() && target.path.front() == '/');
  if (target.what == resource::keyframe || target.what == resource::keyframe_pose)
    require(!target.id.empty());
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  route({reinterpret_cast<const char*>(data), size});
  http::request_parser<http::string_body> parser;
  parser.header_limit(16384);
  parser.body_limit(65536);
  parser.eager(true);
  boost::beast::error_code error;
  parser.put(boost::asio::buffer(data, size), error);
  if (parser.is_header_done()) {
    auto target = parser.get().target();
    route({target.data(), target.size()});
    const auto said
      = read_forwarded(parser.get().base(), boost::asio::ip::make_address("10.0.0.1"), trusted_proxies{"10.0.0.0/8"});
    if (const auto* good = std::get_if<forwarded>(&said))
      require(good->host.empty() || host_of(good->host).has_value());
  }
  return 0;
}
