#include "net/commands/input_sinks.hpp"

#include <spdlog/spdlog.h>

namespace tessera {

namespace {

const verdict closing{outcome::refused, "the service is ending"};

} // namespace

std::optional<keyframe> gate_sink::first() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, stop_, [&] { return first_.has_value(); });
  return first_;
}

void gate_sink::open(keyframe_sink& next) {
  {
    const std::lock_guard lock(mutex_);
    next_ = &next;
    first_.reset();
  }
  changed_.notify_all();
}

keyframe_sink* gate_sink::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, stop_, [&] { return next_ != nullptr; });
  return next_;
}

void gate_sink::offer(keyframe frame, completion done) {
  {
    const std::lock_guard lock(mutex_);
    if (next_ == nullptr && !first_) {
      first_ = frame;
      changed_.notify_all();
    }
  }
  if (auto* to = next())
    to->offer(std::move(frame), std::move(done));
  else
    done(closing);
}

void gate_sink::retract(keyframe_id id, completion done) {
  if (auto* to = next())
    to->retract(std::move(id), std::move(done));
  else
    done(closing);
}

void gate_sink::revise(keyframe_id id, pose world_from_camera, completion done) {
  if (auto* to = next())
    to->revise(std::move(id), world_from_camera, std::move(done));
  else
    done(closing);
}

void gate_sink::set_aside(const std::string& source, const std::string& what, const std::string& reason) {
  // Bad input must not wait for a good keyframe: it is told at once, and counted once somebody counts.
  keyframe_sink* to = nullptr;
  {
    const std::lock_guard lock(mutex_);
    to = next_;
  }
  if (to != nullptr)
    to->set_aside(source, what, reason);
  else
    spdlog::warn("{} {} set aside: {}", source, what, reason);
}

void newest_sink::offer(keyframe frame, completion done) {
  offered_.push_back(frame.id);
  if (offered_.size() > keep_) {
    next_.retract(std::move(offered_.front()), [](const verdict&) {});
    offered_.pop_front();
  }
  next_.offer(std::move(frame), std::move(done));
}

void newest_sink::retract(keyframe_id id, completion done) {
  next_.retract(std::move(id), std::move(done));
}

void newest_sink::revise(keyframe_id id, pose world_from_camera, completion done) {
  next_.revise(std::move(id), world_from_camera, std::move(done));
}

void newest_sink::set_aside(const std::string& source, const std::string& what, const std::string& reason) {
  next_.set_aside(source, what, reason);
}

} // namespace tessera
