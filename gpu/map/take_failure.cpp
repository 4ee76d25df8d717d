#include "gpu/map/take_failure.hpp"

#include "gpu/bounds.hpp"
#include "gpu/fields.hpp"

#include <new>
#include <stdexcept>

namespace tessera {

failure_kind kind_of(const std::exception_ptr& why) {
  try {
    std::rethrow_exception(why);
  } catch (const torn_keyframe&) {
    return failure_kind::torn;
  } catch (const keyframe_too_large&) {
    return failure_kind::bad;
  } catch (const std::invalid_argument&) {
    return failure_kind::bad;
  } catch (const std::bad_alloc&) {
    return failure_kind::memory;
  } catch (...) {
    return failure_kind::device;
  }
}

std::string text_of(const std::exception_ptr& why) {
  try {
    std::rethrow_exception(why);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "what failed is no exception";
  }
}

} // namespace tessera
