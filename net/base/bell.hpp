#pragma once

#include "net/base/descriptor.hpp"

#include <sys/eventfd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

namespace tessera {

/// Wakes a thread that polls file descriptors. Threads: any.
class bell {
public:
  bell() : file_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!file_.valid())
      throw std::system_error(errno, std::generic_category(), "eventfd");
  }
  /// Makes fd() readable.
  void ring() const {
    uint64_t one = 1;
    [[maybe_unused]] auto n = ::write(file_.get(), &one, sizeof one); // fails only when it is readable already
  }
  /// Makes it unreadable again.
  void quiet() const {
    uint64_t count = 0;
    [[maybe_unused]] auto n = ::read(file_.get(), &count, sizeof count); // fails only when it is quiet already
  }
  [[nodiscard]] int fd() const { return file_.get(); }

private:
  descriptor file_;
};

} // namespace tessera
