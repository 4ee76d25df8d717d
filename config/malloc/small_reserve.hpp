#pragma once

#include <cstddef>

namespace tessera {

/// Memory for small pieces where the system gives none: some 4,000 of them, set apart from the start.
///
/// Who asks for much and gets nothing says so, and goes on. But not all libraries can do without a small piece: CAF 0.17's clock
/// has a thread that ends the process when it gets none. Such pieces are few and short-lived: they come from here for as long as
/// it takes until those who asked for much have let go. operator new and operator delete use it (operator_new.cpp). Threads: any.
class small_reserve {
public:
  static constexpr size_t piece_bytes = 512, pieces = 4096;

  /// A piece of at least so many bytes, for anything; null if that is too much, or all are in use.
  static void* take(size_t bytes) noexcept;
  /// Gives one back. False: it is none of these.
  static bool give_back(void* piece) noexcept;
};

} // namespace tessera
