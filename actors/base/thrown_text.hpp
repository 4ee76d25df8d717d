#pragma once

#include <exception>
#include <string>

namespace tessera {

/// What was thrown, in words.
inline std::string thrown_text(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "something that is no exception was thrown";
  }
}

} // namespace tessera
