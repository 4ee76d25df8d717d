#pragma once

#include <exception>
#include <new>
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

/// Whether it was thrown since there was no memory.
inline bool is_want_of_memory(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::bad_alloc&) {
    return true;
  } catch (...) {
    return false;
  }
}

} // namespace tessera
