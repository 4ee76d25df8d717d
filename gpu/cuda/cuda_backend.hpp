#pragma once
// The CUDA backend's entry, for code that no CUDA compiler sees.

#include "gpu/cuda/fields/field_options.hpp"
#include "gpu/fields.hpp"
#include "gpu/host/host_memory.hpp"

#include <memory>
#include <string>
#include <vector>

namespace tessera::cuda {

/// Names of the GPUs that can be used, by their number; empty if there is none or the driver does not answer, and then `why` is
/// set to the reason. Never throws for that.
std::vector<std::string> list_devices(std::string* why = nullptr);

/// Opens a GPU. Throws std::invalid_argument if there is no GPU of that number, std::bad_alloc if it has no room for the pool,
/// std::runtime_error if it fails.
std::unique_ptr<async_fields> open_device(int number, const map_settings& map, const field_options& options);

/// Locks pages for all GPUs of the process. Without a driver that answers nothing can be locked.
std::shared_ptr<page_locks> make_page_locks();

} // namespace tessera::cuda
