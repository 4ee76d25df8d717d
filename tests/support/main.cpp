#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>

#ifdef __SANITIZE_THREAD__
/// ThreadSanitizer does not see how libstdc++, which is not built for it, counts who holds an exception: it takes the last one's
/// freeing, after another thread has looked at it, for a race.
extern "C" const char* __tsan_default_suppressions() { // NOLINT(bugprone-reserved-identifier): the name is ThreadSanitizer's
  return "race:std::__exception_ptr::exception_ptr::_M_release\n";
}
#endif
