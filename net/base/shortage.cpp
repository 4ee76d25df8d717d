#include "net/base/shortage.hpp"

#include <cerrno>
#include <new>
#include <system_error>

namespace tessera {

bool is_shortage(int error) {
  switch (error) {
  case EMFILE:
  case ENFILE:
  case ENOMEM:
  case ENOBUFS:
  case ENOSPC: // inotify has no watch left
    return true;
  default:
    return false;
  }
}

bool is_shortage(const std::exception& thrown) {
  if (dynamic_cast<const shortage_error*>(&thrown) != nullptr || dynamic_cast<const std::bad_alloc*>(&thrown) != nullptr)
    return true;
  const auto* system = dynamic_cast<const std::system_error*>(&thrown);
  if (system == nullptr)
    return false;
  const auto& code = system->code();
  if (code.category() != std::generic_category() && code.category() != std::system_category())
    return false;
  return code.value() == EAGAIN || is_shortage(code.value()); // EAGAIN: there is no thread left
}

std::string text_of(const std::exception& thrown) {
  return dynamic_cast<const std::bad_alloc*>(&thrown) != nullptr ? "the process gets no more memory" : thrown.what();
}

void throw_not_now(const std::string& what, int error) {
  const auto text = what + ": " + std::generic_category().message(error);
  if (is_shortage(error))
    throw shortage_error(text);
  throw not_now_error(text);
}

} // namespace tessera
