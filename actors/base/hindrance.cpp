#include "actors/base/hindrance.hpp"

#include "actors/base/thrown_text.hpp"
#include "messages/error.hpp"

#include <caf/sec.hpp>

#include <new>
#include <system_error>

namespace tessera {

const char* to_string(hindrance what) {
  switch (what) {
  case hindrance::store:
    return "store";
  case hindrance::memory:
    return "memory";
  case hindrance::room:
    return "room";
  case hindrance::input:
    return "input";
  case hindrance::slow:
    return "slow";
  case hindrance::torn:
    return "torn";
  case hindrance::restarting:
    return "restarting";
  case hindrance::closing:
    return "closing";
  case hindrance::internal:
    return "internal";
  }
  return "internal";
}

hindered hindered_by(const caf::error& err) {
  const auto why = err == caf::sec::request_timeout || err == ec::timeout ? hindrance::slow
                   : err == ec::out_of_memory                             ? hindrance::room
                   : err == ec::no_memory                                 ? hindrance::memory
                   : err == ec::store_failed                              ? hindrance::store
                   : err == ec::restarting || err == ec::rays_lost        ? hindrance::restarting
                   : err == ec::closing                                   ? hindrance::closing
                                                                          : hindrance::internal;
  return {why, err == caf::sec::request_timeout ? to_string(ec::timeout) : describe(err)};
}

hindered hindered_by(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::bad_alloc&) {
    return {hindrance::memory, "the process gets no more memory"};
  } catch (const std::system_error& e) {
    return {hindrance::store, e.what()};
  } catch (...) {
    return {hindrance::internal, thrown_text(thrown)};
  }
}

} // namespace tessera
