#include "net/commands/progress.hpp"

#include <unistd.h>

#include <cstdio>

namespace tessera {

namespace {

/// A broken input of a million frames must not write a million lines.
constexpr uint64_t most_complaints = 20;

} // namespace

bool on_terminal() {
  return ::isatty(STDERR_FILENO) == 1;
}

progress_sink::progress_sink(keyframe_sink& next, std::string what, std::optional<uint64_t> total, bool show)
  : next_(next), what_(std::move(what)), total_(total), show_(show) {}

progress_sink::~progress_sink() {
  if (show_)
    tell(true);
  if (complaints_ > most_complaints)
    std::fprintf(stderr, "tessera: set aside: %llu more\n", static_cast<unsigned long long>(complaints_ - most_complaints));
}

void progress_sink::offer(keyframe frame, completion done) {
  auto watched = [this, id = frame.id.value, done = std::move(done)](const verdict& v) {
    if (v.what == outcome::refused)
      complain("keyframe " + id, v.reason);
    done(v);
  };
  next_.offer(std::move(frame), std::move(watched));
  ++offered_;
  if (show_)
    tell(false);
}

void progress_sink::retract(keyframe_id id, completion done) {
  next_.retract(std::move(id), std::move(done));
}

void progress_sink::revise(keyframe_id id, pose world_from_camera, completion done) {
  next_.revise(std::move(id), world_from_camera, std::move(done));
}

void progress_sink::set_aside(const std::string& source, const std::string& what, const std::string& reason) {
  complain(source + ' ' + what, reason);
  next_.set_aside(source, what, reason);
}

void progress_sink::complain(const std::string& what, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (++complaints_ <= most_complaints)
    std::fprintf(stderr, "%stessera: set aside: %s: %s\n", show_ ? "\r\033[K" : "", what.c_str(), reason.c_str());
}

void progress_sink::tell(bool last) {
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (!last && now - told_ < std::chrono::milliseconds{100})
    return;
  told_ = now;
  const auto seconds = std::chrono::duration<double>(now - start_).count();
  const auto count = offered_.load();
  const auto rate = seconds > 0 ? static_cast<double>(count) / seconds : 0.0;
  const auto of = total_ ? "/" + std::to_string(*total_) : std::string{};
  std::fprintf(stderr, "\r\033[K%s: %llu%s keyframes, %.1f/s%s", what_.c_str(), static_cast<unsigned long long>(count),
               of.c_str(), rate, last ? "\n" : "");
  std::fflush(stderr);
}

} // namespace tessera
