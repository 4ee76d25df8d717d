#include "actors/base/telemetry.hpp"

namespace tessera {

const char* to_string(refusal why) {
  switch (why) {
  case refusal::id:
    return "id";
  case refusal::pose:
    return "pose";
  case refusal::points:
    return "points";
  case refusal::colours:
    return "colours";
  case refusal::confidence:
    return "confidence";
  case refusal::empty:
    return "empty";
  case refusal::internal:
    return "internal";
  case refusal::quarantined:
    return "quarantined";
  }
  return "internal";
}

} // namespace tessera
