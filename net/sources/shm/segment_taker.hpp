#pragma once

#include "messages/keyframe_sink.hpp"
#include "net/base/backoff.hpp"
#include "net/base/shortage.hpp"
#include "net/sources/shm/segment_agenda.hpp"
#include "net/sources/shm/segment_crew.hpp"
#include "net/sources/shm/segment_history.hpp"
#include "net/sources/shm/segment_options.hpp"
#include "net/sources/shm/shm_watch.hpp"
#include "net/sources/shm/verdict_desk.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

namespace tessera {

/// What keyframes of a watch, and what it sets aside, are said to come from.
inline constexpr const char* shm_kind = "shm";

/// Takes the segments on its agenda: waits until each is whole, has it read, offers its keyframe, and acts on the verdict. What
/// cannot be taken now is tried again after a pause.
///
/// Threads: the watch's.
class segment_taker {
public:
  using clock = std::chrono::steady_clock;

  /// Throws shortage_error.
  segment_taker(std::string prefix, const shm_options& options, const segment_options& segments, shortage_listener on_shortage);

  /// Begins with an empty agenda. Throws std::system_error if there can be no thread.
  void start(keyframe_sink& sink);
  /// Reads nothing any more; what is to go has gone then.
  void stop() { crew_.reset(); }

  /// Segments that are to be looked at.
  [[nodiscard]] segment_agenda& agenda() { return agenda_; }
  /// A segment's name is gone.
  void forget(const std::string& name);
  /// Begins to read what is due, and offers what has been read, in their order. Returns false if there is nothing to do but to
  /// wait.
  bool go_on();
  /// Acts on the verdicts that have come in, and on the names that stayed.
  void act_on_verdicts(const std::stop_token& stop);
  /// When go_on() has something to do again, if that is a matter of time.
  [[nodiscard]] std::optional<clock::time_point> next_due() const;
  /// What has come in for it; its ring tells.
  [[nodiscard]] const std::shared_ptr<verdict_desk>& desk() const { return desk_; }

private:
  /// A segment that is being read, or has been and is not offered yet.
  struct read_ahead {
    std::string name;
    segment_candidate what;
    std::shared_ptr<segment_reading> reading;
    bool gone = false; ///< its name
  };

  [[nodiscard]] read_ahead* find_ahead(const std::string& name);
  template <class F>
  void attempt(const std::string& name, segment_candidate& c, F work);
  void begin(const std::string& name, segment_candidate& c);
  void offer(const read_ahead& one);
  void offer_as(const std::shared_ptr<shm_segment>& segment, uint64_t digest, bool plain);
  void let_go(const std::shared_ptr<shm_segment>& segment);
  void report(const std::string& name, const std::string& reason);
  void pause_all(const std::string& name, const std::string& why);
  clock::time_point after_a_pause(const std::string& name);

  const std::string prefix_;
  const shm_options options_;
  const segment_options segments_;
  const shortage_listener on_shortage_;
  // Kept if the watch ends for want of something, and is run again: verdicts are under way to the desk.
  const std::shared_ptr<verdict_desk> desk_ = std::make_shared<verdict_desk>();
  segment_history history_;
  backoff hold_;
  clock::time_point hold_until_;
  uint64_t waits_ = 0; ///< tries that had to be put off since a segment was taken

  keyframe_sink* sink_ = nullptr;
  std::optional<segment_crew> crew_;
  segment_agenda agenda_;
  std::deque<read_ahead> ahead_; ///< in the order in which they are offered
};

} // namespace tessera
