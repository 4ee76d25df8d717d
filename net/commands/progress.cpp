#include "net/commands/progress.hpp"

#include <unistd.h>

#include <cmath>
#include <iostream>
#include <sstream>

namespace tessera {

namespace {

/// A broken input of a million frames must not write a million lines.
constexpr uint64_t most_complaints = 20;

std::chrono::milliseconds interval_of(progress_style style) {
  return style == progress_style::rewritten ? std::chrono::milliseconds{100} : std::chrono::milliseconds{5000};
}

/// "40 s", "7 min", "3.2 h".
std::string duration_text(double seconds) {
  std::ostringstream out;
  out.setf(std::ios::fixed);
  out.precision(seconds < 5400 ? 0 : 1);
  if (seconds < 90)
    out << seconds << " s";
  else if (seconds < 5400)
    out << seconds / 60 << " min";
  else
    out << seconds / 3600 << " h";
  return out.str();
}

} // namespace

progress_style style_of_standard_error() {
  return ::isatty(STDERR_FILENO) == 1 ? progress_style::rewritten : progress_style::lines;
}

progress_sink::progress_sink(keyframe_sink& next, std::string what, std::optional<uint64_t> total, progress_style style,
                             std::optional<std::chrono::milliseconds> interval)
  : progress_sink(next, std::move(what), total, style, std::cerr, interval) {}

progress_sink::progress_sink(keyframe_sink& next, std::string what, std::optional<uint64_t> total, progress_style style,
                             std::ostream& out, std::optional<std::chrono::milliseconds> interval)
  : next_(next), what_(std::move(what)), total_(total), style_(style), out_(out),
    interval_(interval.value_or(interval_of(style))) {}

progress_sink::~progress_sink() {
  tell(true);
  if (complaints_ > most_complaints)
    out_ << "tessera: set aside or not taken: " << complaints_ - most_complaints << " more" << std::endl;
}

void progress_sink::offer(map_input what, completion done) {
  if (!std::holds_alternative<keyframe>(what))
    return next_.offer(std::move(what), std::move(done));
  auto watched = [this, id = shown(id_of(what)), done = std::move(done)](const verdict& v) {
    if (v.what == outcome::refused || v.what == outcome::conflict)
      complain("set aside: keyframe " + id, v.reason);
    else if (v.what == outcome::not_now)
      complain("not taken: keyframe " + id, v.reason);
    done(v);
    ++answered_;
    tell(false);
  };
  next_.offer(std::move(what), std::move(watched));
}

void progress_sink::correct(correction what, completion done) {
  const auto entries = what.entries.size();
  next_.correct(std::move(what), [this, entries, done = std::move(done)](const verdict& v) {
    if (v.what == outcome::refused)
      complain("set aside: " + std::to_string(entries) + " new poses", v.reason);
    else if (v.what == outcome::not_now)
      complain("not taken: " + std::to_string(entries) + " new poses", v.reason);
    else if (v.left.refused > 0)
      complain("set aside: new poses of " + std::to_string(v.left.refused) + " keyframes", v.reason);
    done(v);
  });
}

void progress_sink::set_aside(const std::string& source, const std::string& what, const std::string& reason) {
  complain("set aside: " + source + ' ' + what, reason);
  next_.set_aside(source, what, reason);
  ++answered_;
}

std::string progress_sink::so_far() const {
  return std::to_string(answered_.load()) + (total_ ? " of " + std::to_string(*total_) : std::string{}) + " keyframes";
}

void progress_sink::complain(const std::string& what, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (++complaints_ <= most_complaints)
    out_ << (style_ == progress_style::rewritten ? "\r\033[K" : "") << "tessera: " << what << ": " << reason << std::endl;
}

void progress_sink::tell(bool last) {
  if (style_ == progress_style::none)
    return;
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (!last && now - told_ < interval_)
    return;
  // What took less than a line's time says nothing in lines: the result is there.
  if (last && style_ == progress_style::lines && !told_once_)
    return;
  told_ = now;
  told_once_ = true;
  const auto seconds = std::chrono::duration<double>(now - start_).count();
  const auto count = answered_.load();
  const auto rate = seconds > 0 ? static_cast<double>(count) / seconds : 0.0;
  std::ostringstream line;
  line.setf(std::ios::fixed);
  line.precision(1);
  line << what_ << ": " << so_far() << ", " << rate << "/s";
  if (last)
    line << ", " << duration_text(seconds);
  else if (total_ && count < *total_ && rate > 0)
    line << ", about " << duration_text(static_cast<double>(*total_ - count) / rate) << " left";
  if (style_ == progress_style::rewritten)
    out_ << "\r\033[K" << line.str() << (last ? "\n" : "") << std::flush;
  else
    out_ << "tessera: " << line.str() << std::endl;
}

} // namespace tessera
