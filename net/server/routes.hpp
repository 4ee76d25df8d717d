#pragma once
// From a request to its answer, by the table of routes.

#include "net/server/server_core.hpp"

#include <optional>
#include <vector>

namespace tessera {

/// A request, its body aside.
struct request_head {
  http::request_header<> header;
  http_target target;
  /// What the client asked for, and by which scheme (http or https; empty: nobody knows), as far as a proxy tells it.
  std::string host, scheme;
  /// A proxy passes it on, and it is not known that it does so for somebody on this machine.
  bool forwarded = false;
  /// Of the body, if the client says it.
  std::optional<uint64_t> content_length;
  bool has_body = false;
  uint64_t body_limit = 0; ///< bytes that it may have

  [[nodiscard]] std::string_view field(http::field name) const { return view_of(header[name]); }
  [[nodiscard]] std::string_view field(const char* name) const { return view_of(header[name]); }

private:
  template <class T>
  static std::string_view view_of(const T& value) {
    return {value.data(), value.size()};
  }
};

/// Bytes that the body of a request for something may have; 0: it takes none.
uint64_t body_limit_of(const server_core& core, resource what, http::verb method);

/// Answers what can be answered without the body: what is not there, not allowed or too large. Nothing: read
/// on.
std::optional<http_reply> refuse_early(const server_core& core, entrance by, const request_head& head);

/// The answer to what asks about the map, as long as there is none: a service may choose its voxel size from the first keyframe,
/// and listens all the while. Nothing: it is answered as ever.
std::optional<http_reply> answer_before_map(const server_core& core, resource what);

/// Answers a request that was not refused; `reply` is called once, on `back`'s executor. Anything but the
/// stream.
void answer(const std::shared_ptr<server_core>& core, const request_head& head, std::vector<std::byte> body,
            const return_address<strand>& back, reply_function reply);

} // namespace tessera
