#include "actors/map/device_error.hpp"

#include "gpu/bounds.hpp"
#include "gpu/fields.hpp"
#include "messages/error.hpp"

#include <new>
#include <string>

namespace tessera {

caf::error device_error(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const torn_keyframe& e) {
    return caf::make_error(ec::torn, std::string{e.what()});
  } catch (const lost_rays& e) {
    return caf::make_error(ec::rays_lost, std::string{e.what()});
  } catch (const keyframe_too_large& e) {
    return caf::make_error(ec::bad_keyframe, std::string{e.what()});
  } catch (const std::invalid_argument& e) {
    return caf::make_error(ec::bad_keyframe, std::string{e.what()});
  } catch (const pool_too_small& e) {
    return caf::make_error(ec::bad_keyframe, std::string{e.what()});
  } catch (const no_room& e) {
    return caf::make_error(ec::out_of_memory, std::string{e.what()});
  } catch (const std::bad_alloc&) {
    return ec::no_memory;
  } catch (const fields_lost& e) {
    return caf::make_error(ec::fields_lost, std::string{e.what()});
  } catch (const std::exception& e) {
    return caf::make_error(ec::device_failed, std::string{e.what()});
  } catch (...) {
    return caf::make_error(ec::device_failed, std::string{"the device threw something that is no exception"});
  }
}

bool leaves_fields_whole(const caf::error& err) {
  return is_want_of_memory(err) || err == ec::torn || err == ec::rays_lost || err == ec::bad_keyframe;
}

} // namespace tessera
