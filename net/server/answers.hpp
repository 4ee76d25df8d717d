#pragma once
// What each request is answered, as the table of routes names it.

#include "net/server/routes.hpp"

namespace tessera {

/// A request that was not refused, with its body. `reply` is called once, on `back`'s executor.
struct http_call {
  const std::shared_ptr<server_core>& core;
  const request_head& head;
  std::vector<std::byte> body;
  const return_address<strand>& back;
  reply_function reply;
};

void answer_asset(http_call& call);
void answer_health(http_call& call);
void answer_readiness(http_call& call);
void answer_metrics(http_call& call);
/// What the actors tell: map, regions, actors, cameras.
void answer_status(http_call& call);
void answer_region(http_call& call);
void answer_mesh(http_call& call);
/// Draws a plane of the field, as the query says.
void answer_slice(http_call& call);
void answer_aside(http_call& call);
void answer_quarantine(http_call& call);
void answer_version(http_call& call);
void answer_keyframe(http_call& call);
/// Takes out all keyframes that the query means.
void answer_clearing(http_call& call);
/// Moves all keyframes that the body names.
void answer_correction(http_call& call);
/// Takes out the keyframe that the path names.
void answer_retraction(http_call& call);
/// Moves it.
void answer_revision(http_call& call);

} // namespace tessera
