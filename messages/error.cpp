#include "messages/error.hpp"

#include <caf/actor_system_config.hpp>
#include <caf/deep_to_string.hpp>

namespace tessera {

std::string to_string(ec code) {
  switch (code) {
  case ec::malformed:
    return "malformed data";
  case ec::bad_keyframe:
    return "bad keyframe";
  case ec::store_failed:
    return "the keyframe store's file failed";
  case ec::out_of_memory:
    return "out of memory";
  case ec::no_memory:
    return "the process gets no more memory";
  case ec::device_failed:
    return "the device failed";
  case ec::fields_lost:
    return "the device's fields are lost";
  case ec::torn:
    return "the points changed while they were read";
  case ec::rays_lost:
    return "what another device made cannot be read any more";
  case ec::restarting:
    return "restarting";
  case ec::closing:
    return "shutting down";
  case ec::timeout:
    return "no answer in time";
  case ec::internal:
    return "internal error";
  }
  return "unknown error " + std::to_string(static_cast<unsigned>(code));
}

bool is_want_of_memory(const caf::error& err) {
  return err == ec::out_of_memory || err == ec::no_memory;
}

std::string describe(const caf::error& err) {
  if (!err)
    return "no error";
  if (err.category() != caf::detail::error_factory<ec>::category)
    return caf::actor_system_config::render(err);
  auto text = to_string(static_cast<ec>(err.code()));
  auto context = err.context(); // a copy: match_elements and get_as are not const in all 0.17 releases
  for (size_t i = 0; i < context.size(); ++i) {
    text += i == 0 ? ": " : ", ";
    text += context.match_element<std::string>(i) ? context.get_as<std::string>(i) : context.stringify(i);
  }
  return text;
}

std::string context_of(const caf::error& err) {
  if (err && err.category() == caf::detail::error_factory<ec>::category) {
    auto context = err.context();
    if (context.size() == 1 && context.match_element<std::string>(0))
      return context.get_as<std::string>(0);
  }
  return describe(err);
}

} // namespace tessera
