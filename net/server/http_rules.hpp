#pragma once
// What RFC 9110 and 9112 ask of a server and Beast leaves to its user. Pure functions of text from outside.

#include "net/base/ignoring_case.hpp"
#include "net/server/asio_types.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace tessera {

/// Why a request cannot be trusted: where its body ends, or for whom it is meant, can be read in more than one way. The
/// connection must end with the answer, so that no byte after the header is taken for another request.
struct header_fault {
  http::status status = http::status::bad_request;
  std::string reason;
  const char* field = ""; ///< the header at fault
};

/// Looks at Transfer-Encoding, Content-Length and Host: at most one way to tell the body's end, and that one understood; exactly
/// one host (HTTP/1.0 may do without), well-formed, and the same that an absolute target names.
std::optional<header_fault> find_fault(const http::request_header<>& header);

/// Tells whether a line of a header goes on in the next one (obs-fold), which is read differently by different programs.
/// `text` is what came of the header since its last whole line.
bool has_folded_line(std::string_view text);

/// Text without the blanks around it.
std::string_view trimmed(std::string_view text);

/// A value from outside as an answer shows it: in quotes, shortened if it is long.
std::string quoted(std::string_view value);

/// The `http://` or `https://` that a target in absolute form begins with; empty: it has another form.
std::string_view scheme_of(std::string_view target);

/// Returns the host of `host[:port]` (RFC 3986; without the brackets of an IPv6 address), or nothing if the text is anything
/// else.
std::optional<std::string_view> host_of(std::string_view authority);

/// Tells whether the value of Accept-Encoding lets an answer come in a coding: it names that, or `*`, and not with a weight of 0.
bool accepts_coding(std::string_view accept_encoding, std::string_view coding);

/// Tells whether the value of If-None-Match names an entity tag (with its quotes), by weak comparison: `*`, or a list.
bool names_tag(std::string_view if_none_match, std::string_view tag);

} // namespace tessera
