#include "net/commands/choose_backend.hpp"

#ifdef TESSERA_CUDA
#include "gpu/cuda/cuda_backend.hpp"
#endif

#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <new>
#include <numeric>
#include <stdexcept>
#include <string_view>

namespace tessera {

namespace {

int number_of(std::string_view text, const std::string& whole) {
  int value = 0;
  const auto* end = text.data() + text.size();
  const auto [read_to, failed] = std::from_chars(text.data(), end, value);
  if (failed != std::errc{} || read_to != end || value < 0)
    throw std::invalid_argument("gpus is \"" + whole + "\", not all, a number of GPUs, or a list of their numbers as 0,3");
  return value;
}

/// The numbers in a list with commas; one may stand at the end.
std::vector<int> list_of(const std::string& text) {
  std::vector<int> out;
  std::string_view left = text;
  while (!left.empty()) {
    const auto comma = left.find(',');
    out.push_back(number_of(left.substr(0, comma), text));
    left = comma == std::string_view::npos ? std::string_view{} : left.substr(comma + 1);
  }
  return out;
}

std::string mib(uint64_t bytes) {
  return std::to_string(bytes >> 20) + " MiB";
}

cuda::field_options options_of(const backend_setup& setup) {
  auto out = setup.gpu;
  out.device_bytes = setup.cap_bytes;
  if (const auto most = setup.cap_bytes / 2; setup.cap_bytes != 0 && out.pool_bytes > most) {
    spdlog::warn("memory-pool is {}, more than half of memory-cap, {}: each GPU gets a pool of {}", mib(out.pool_bytes),
                 mib(setup.cap_bytes), mib(most));
    out.pool_bytes = most;
  }
  return out;
}

} // namespace

gpu_list find_gpus() {
  gpu_list out;
#ifdef TESSERA_CUDA
  out.names = cuda::list_devices(&out.missing);
  if (out.names.empty())
    out.missing = "no GPU was found: " + out.missing;
  else
    out.locks = cuda::make_page_locks();
  out.open = [](int number, const map_settings& map, const cuda::field_options& options) -> std::shared_ptr<async_fields> {
    return cuda::open_device(number, map, options);
  };
#else
  out.missing = "this program was built without CUDA: build it where nvcc is, or take the cuda image";
#endif
  return out;
}

std::vector<int> choose_gpus(const backend_setup& setup, const gpu_list& found) {
  if (setup.name == "cpu")
    return {};
  if (setup.name != "auto" && setup.name != "cuda")
    throw std::invalid_argument("backend is \"" + setup.name + "\", not auto, cpu or cuda");
  const auto there = static_cast<int>(found.names.size());
  std::vector<int> all(found.names.size());
  std::iota(all.begin(), all.end(), 0);
  const auto is_list = setup.gpus.find(',') != std::string::npos;
  auto wanted = is_list ? list_of(setup.gpus) : all;
  if (!is_list && setup.gpus != "all") {
    const auto count = number_of(setup.gpus, setup.gpus);
    if (count == 0)
      throw std::invalid_argument("gpus is 0, not 1 or more; backend cpu uses none");
    if (count > there && there > 0)
      throw std::invalid_argument("gpus is " + setup.gpus + ", more than the " + std::to_string(there) + " of this machine");
    wanted.resize(static_cast<size_t>(std::min(count, there)));
  }
  if (there == 0) {
    if (setup.name == "cuda")
      throw std::invalid_argument("backend is cuda, but " + found.missing);
    return {};
  }
  for (const auto number : wanted) {
    if (number >= there)
      throw std::invalid_argument("gpus is \"" + setup.gpus + "\", but GPU " + std::to_string(number) + " is none of 0 to "
                                  + std::to_string(there - 1));
    if (std::count(wanted.begin(), wanted.end(), number) > 1)
      throw std::invalid_argument("gpus is \"" + setup.gpus + "\", which has GPU " + std::to_string(number) + " twice");
  }
  return wanted;
}

std::vector<std::shared_ptr<async_fields>> open_gpus(const backend_setup& setup, const map_settings& map, const gpu_list& found) {
  std::vector<std::shared_ptr<async_fields>> out;
  const auto chosen = choose_gpus(setup, found);
  const auto options = chosen.empty() ? setup.gpu : options_of(setup);
  for (const auto number : chosen) {
    const auto name = "GPU " + std::to_string(number) + " (" + found.names[static_cast<size_t>(number)] + ')';
    std::string reason;
    try {
      auto gpu = found.open(number, map, options);
      found.check(*gpu, map);
      spdlog::info("backend cuda, {}: a pool of {}, {} blocks; its bytes are the CPU's", name, mib(options.pool_bytes),
                   gpu->memory().blocks);
      out.push_back(std::move(gpu));
      continue;
    } catch (const std::bad_alloc&) {
      reason = "it has no room for a pool of " + mib(options.pool_bytes) + " (memory-pool)";
    } catch (const std::runtime_error& e) {
      reason = e.what();
    }
    if (setup.name == "cuda")
      throw std::runtime_error(name + " cannot be used: " + reason);
    spdlog::warn("{} is left out: {}", name, reason);
  }
  if (!out.empty())
    return out;
  if (setup.name == "cpu")
    spdlog::info("backend cpu");
  else
    spdlog::info("backend cpu, the fastest there is here: {}", chosen.empty() ? found.missing : "no GPU could be opened");
  return out;
}

std::string offline_devices::name() const {
  return (all.size() > 1 ? std::to_string(all.size()) + " x " : "") + all.front()->name();
}

offline_devices open_offline_devices(const backend_setup& setup, const map_settings& map, uint32_t threads,
                                     const gpu_list& found) {
  if (auto gpus = open_gpus(setup, map, found); !gpus.empty())
    return {std::move(gpus), true};
  return {{make_cpu_fields(map, {.threads = threads > 1 ? threads : 0, .cap_bytes = setup.cap_bytes})}, false};
}

} // namespace tessera
