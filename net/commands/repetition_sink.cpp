#include "net/commands/repetition_sink.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <optional>
#include <utility>

namespace tessera {

namespace {

uint64_t digest_of(const keyframe_body& body) {
  uint64_t digest = body.channels();
  const auto add = [&digest](const auto& values) { digest = XXH3_64bits_withSeed(values.data(), values.size_bytes(), digest); };
  add(body.points());
  add(body.colours());
  add(body.confidence());
  return digest;
}

std::string keyframes(uint64_t count) {
  return std::to_string(count) + (count == 1 ? " keyframe" : " keyframes");
}

} // namespace

void repetition_sink::offer(keyframe frame, completion done) {
  const content now{frame.body ? digest_of(*frame.body) : 0, frame.world_from_camera, frame.world_from_camera};
  std::optional<verdict> known;
  {
    const std::lock_guard lock(mutex_);
    if (const auto [at, is_new] = live_.try_emplace(frame.id, now); !is_new)
      known = told_apart(frame.id, at->second, now);
  }
  if (known)
    return done(*known);
  auto id = frame.id;
  next_.offer(std::move(frame), [this, id = std::move(id), done = std::move(done)](const verdict& v) {
    if (v.what != outcome::accepted) {
      const std::lock_guard lock(mutex_);
      live_.erase(id);
    }
    done(v);
  });
}

verdict repetition_sink::told_apart(const keyframe_id& id, const content& live, const content& again) {
  const char* other = nullptr;
  if (again.came_with != live.came_with && again.came_with != live.now)
    other = "another pose";
  else if (again.digest != live.digest)
    other = "other points";
  if (other == nullptr) {
    ++repetitions_;
    return {outcome::duplicate, {}};
  }
  ++conflicts_;
  return {outcome::conflict, "keyframe_id " + shown(id) + " came before, with " + other + "; the first one stays"};
}

void repetition_sink::retract(keyframe_id id, completion done) {
  auto copy = id;
  next_.retract(std::move(copy), [this, id = std::move(id), done = std::move(done)](const verdict& v) {
    if (v.what == outcome::accepted) {
      const std::lock_guard lock(mutex_);
      live_.erase(id);
    }
    done(v);
  });
}

void repetition_sink::revise(keyframe_id id, pose world_from_camera, completion done) {
  auto copy = id;
  next_.revise(std::move(copy), world_from_camera,
               [this, id = std::move(id), world_from_camera, done = std::move(done)](const verdict& v) {
                 if (v.what == outcome::accepted) {
                   const std::lock_guard lock(mutex_);
                   live_[id].now = world_from_camera;
                 }
                 done(v);
               });
}

void repetition_sink::set_aside(const std::string& source, const std::string& what, const std::string& reason) {
  next_.set_aside(source, what, reason);
}

std::string repetition_sink::summary() const {
  std::string text;
  if (repetitions_ > 0)
    text
      = keyframes(repetitions_) + " came again with the same content, and " + (repetitions_ == 1 ? "counts" : "count") + " once";
  if (conflicts_ > 0)
    text += (text.empty() ? "" : "; ") + keyframes(conflicts_) + " had the id of an earlier one with other content, and "
            + (conflicts_ == 1 ? "was" : "were") + " left out";
  return text;
}

} // namespace tessera
