#include "net/commands/drill.hpp"

#include "messages/roles.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <sstream>
#include <stdexcept>

namespace tessera {

namespace {

bool is_killable(const std::string& role) {
  return std::find(role::killable.begin(), role::killable.end(), role) != role::killable.end();
}

} // namespace

std::optional<breakage> drill::breakage_of(const std::string& role) {
  if (role == "gpu")
    return breakage::trap;
  if (role == "launch")
    return breakage::refused_launch;
  return {};
}

drill::drill(const std::string& text) {
  std::istringstream parts{text};
  for (std::string part; std::getline(parts, part, ',');) {
    const auto at = part.find('@');
    entry one{part.substr(0, at), 0};
    if (!is_killable(one.role) && !breakage_of(one.role))
      throw std::invalid_argument("drill has \"" + part.substr(0, 100) + "\", whose role is none of " + role::killable_in_words()
                                  + ", gpu, launch");
    const auto* end = part.data() + part.size();
    const auto* begin = at == std::string::npos ? end : part.data() + at + 1;
    const auto [read_to, failed] = std::from_chars(begin, end, one.keyframes);
    if (begin == end || failed != std::errc{} || read_to != end)
      throw std::invalid_argument("drill has \"" + part.substr(0, 100) + "\", not ROLE@KEYFRAMES with a whole number");
    entries_.push_back(std::move(one));
  }
}

void drill::check_gpus(size_t there) const {
  const auto wanted
    = std::count_if(entries_.begin(), entries_.end(), [](const entry& one) { return breakage_of(one.role).has_value(); });
  if (static_cast<size_t>(wanted) > there)
    throw std::invalid_argument("drill breaks GPUs (gpu, launch) " + std::to_string(wanted)
                                + " times, but GPUs in use: " + std::to_string(there));
}

std::vector<std::string> drill::due(uint64_t accepted) {
  std::vector<std::string> out;
  std::erase_if(entries_, [&](const entry& one) {
    if (accepted < one.keyframes)
      return false;
    out.push_back(one.role);
    return true;
  });
  return out;
}

void gpu_breaker::break_next(breakage how) {
  if (broken_ == gpus_.size())
    return;
  auto& gpu = *gpus_[broken_++];
  const auto which = std::to_string(broken_) + " of " + std::to_string(gpus_.size()) + " (" + gpu.name() + ')';
  try {
    gpu.break_down(how);
    spdlog::warn("drill: breaking GPU {}: {}", which, how == breakage::trap ? "a kernel traps" : "its launches are refused");
  } catch (const std::exception& e) {
    spdlog::warn("drill: GPU {} is broken already: {}", which, e.what());
  }
}

} // namespace tessera
