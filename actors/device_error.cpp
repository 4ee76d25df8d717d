#include "actors/device_error.hpp"

#include "gpu/bounds.hpp"
#include "messages/error.hpp"

#include <new>
#include <string>

namespace tessera {

caf::error device_error(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const memory_cap_reached& e) {
    return caf::make_error(ec::out_of_memory, std::string{e.what()});
  } catch (const std::bad_alloc&) {
    return caf::make_error(ec::out_of_memory, std::string{"the device's memory cap is reached"});
  } catch (const std::exception& e) {
    return caf::make_error(ec::device_failed, std::string{e.what()});
  } catch (...) {
    return caf::make_error(ec::device_failed, std::string{"the backend threw something that is no exception"});
  }
}

} // namespace tessera
