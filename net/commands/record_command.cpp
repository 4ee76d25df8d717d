#include "net/commands/record_command.hpp"

#include "actors/intake/keyframe_check.hpp"
#include "net/commands/source_threads.hpp"
#include "net/publishers/recorder.hpp"

#include <spdlog/spdlog.h>

#include <atomic>
#include <iostream>
#include <optional>
#include <utility>

namespace tessera {

namespace {

/// Of all of them, if they all know it.
std::optional<uint64_t> total_of(const std::vector<std::unique_ptr<source>>& inputs) {
  uint64_t sum = 0;
  for (const auto& one : inputs) {
    const auto its = one->total();
    if (!its)
      return std::nullopt;
    sum += *its;
  }
  return sum;
}

std::string fault_of(const map_input& what) {
  const auto fault = check_input(what, keyframe_limits{});
  return fault ? fault->text : std::string{};
}

std::string fault_of_many(const correction& what) {
  const auto fault = check_correction(what);
  return fault ? fault->text : std::string{};
}

} // namespace

int record_command(const record_setup& setup, std::stop_token stop) {
  const auto complain = [](const std::string& what) { spdlog::warn("{}; trying again", what); };
  auto options = setup.input;
  options.on_shortage = complain;
  std::vector<std::unique_ptr<source>> inputs;
  const auto sessions = sessions_of(setup.sources);
  for (size_t i = 0; i < setup.sources.size(); ++i) {
    options.rgbd.session = sessions[i];
    inputs.push_back(make_source(setup.sources[i], options));
  }

  std::stop_source over; // when the file can take no more
  const std::stop_callback when_told(stop, [&over] { over.request_stop(); });
  recorder file(setup.file, {setup.packing, fault_of, fault_of_many, [over]() mutable { over.request_stop(); }});
  std::atomic<bool> failed = false;
  {
    progress_sink sink(file, "record", total_of(inputs), setup.progress);
    source_threads running(complain, over.get_token());
    for (auto& one : inputs)
      running.start(std::move(one), sink, [&failed] { failed = true; });
    const std::stop_callback end_all(over.get_token(), [&running] { running.request_stop(); });
    running.join();
  }
  file.close();
  const auto counts = file.so_far();
  std::cerr << "tessera: " << setup.file << ": " << counts.keyframes << " keyframes, " << counts.changes
            << " new poses and retractions, " << counts.bytes << " bytes";
  if (counts.refused > 0)
    std::cerr << "; " << counts.refused << " refused";
  if (counts.set_aside > 0)
    std::cerr << "; " << counts.set_aside << " set aside";
  std::cerr << '\n';
  return failed || counts.refused > 0 || (counts.keyframes + counts.changes == 0 && !stop.stop_requested()) ? 1 : 0;
}

} // namespace tessera
