#pragma once
// What can be asked for: every path once, with all that is known of it. An endpoint is added here: a word in `resource`
// (http_target.hpp), a row in route_table.cpp, and the function that answers.

#include "net/server/http_target.hpp"

#include <boost/beast/http/verb.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace tessera {

namespace http = boost::beast::http;

struct http_call;
struct http_reply;
struct server_core;

/// What a path does with one method.
struct route_method {
  http::verb verb = http::verb::unknown;
  /// Null: the session itself answers.
  void (*answer)(http_call&) = nullptr;
  /// The content types that its body may have, one of them; none: it takes no body.
  std::array<std::string_view, 3> body_types = {};
  /// Bytes that the body may have.
  uint64_t (*body_limit)(const server_core&) = nullptr;
};

struct route {
  resource what = resource::nothing;
  /// As metrics show it.
  const char* name = "";
  /// `{}` stands for what `read` reads into the target; it answers whether that may stand there.
  std::string_view path;
  bool (*read)(std::string_view part, http_target& into) = nullptr;
  std::array<route_method, 2> methods;
  /// What is answered as long as there is no map. Null: the same as ever.
  http_reply (*before_map)(const server_core&) = nullptr;
  /// Needs no token, and anybody's page may ask.
  bool open = false;
};

/// Returns the row of a resource; null for `nothing`.
const route* find_route(resource what);

/// Finds the row of a path, and puts what the path says into `out`.
void resolve(std::string_view path, http_target& out);

/// Returns what a row does with a method, or null.
const route_method* find_method(const route& row, http::verb verb);

/// The methods of a row, as the header Allow lists them.
std::string allowed_methods(const route& row);

} // namespace tessera
