#pragma once

#include "gpu/cuda/device/check_device.hpp"
#include "gpu/cuda/fields/field_options.hpp"
#include "gpu/fields.hpp"
#include "gpu/host/host_memory.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tessera {

/// What the settings say of the devices that do the work.
struct backend_setup {
  /// auto, cpu or cuda.
  std::string name = "auto";
  /// Which GPUs: all; how many, as 2; or a list of their numbers, as 0,3 or 3,
  std::string gpus = "all";
  /// Memory that one device may use, bytes; 0: no cap.
  uint64_t cap_bytes = 0;
  /// Of each GPU. Its pool is cut to half of the cap, and the cap is that of all its memory.
  cuda::field_options gpu;
};

/// The GPUs of this machine, as far as the program can use them.
struct gpu_list {
  std::vector<std::string> names; ///< by their number
  std::string missing;            ///< why there is none
  /// Opens one; see cuda::open_device().
  std::function<std::shared_ptr<async_fields>(int number, const map_settings&, const cuda::field_options&)> open;
  /// Has them read memory of the host by themselves; null where there is none.
  std::shared_ptr<page_locks> locks;
  /// Throws if one cannot be trusted.
  std::function<void(async_fields&, const map_settings&)> check = cuda::check_device;
};

/// Looks for GPUs. There is none where the program was built without CUDA.
gpu_list find_gpus();

/// Numbers of the GPUs to use; none: the CPU does the work. Throws std::invalid_argument if the setup names another backend, asks
/// for GPUs that are not there, or for any where there is none.
std::vector<int> choose_gpus(const backend_setup& setup, const gpu_list& found);

/// Opens the GPUs to use, and tells the log which device does the work. None: the CPU. With the backend `auto` a GPU that cannot
/// be opened is left out, with a warning. Throws as choose_gpus() does, and std::runtime_error if a GPU of the backend `cuda`
/// cannot be opened.
std::vector<std::shared_ptr<async_fields>> open_gpus(const backend_setup& setup, const map_settings& map,
                                                     const gpu_list& found = find_gpus());

/// What does the work without a service: the CPU, or GPUs that share the map.
struct offline_devices {
  std::vector<std::shared_ptr<async_fields>> all;
  bool are_gpus = false;
  /// cpu, or the GPUs' name, with their number before it if there are several.
  [[nodiscard]] std::string name() const;
};

/// Opens them, as open_gpus() does. With `threads` the CPU works on so many regions and keyframes at once; with one, in the
/// thread that asks.
offline_devices open_offline_devices(const backend_setup& setup, const map_settings& map, uint32_t threads,
                                     const gpu_list& found = find_gpus());

} // namespace tessera
