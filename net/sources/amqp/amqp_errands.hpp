#pragma once

#include "messages/keyframe.hpp"
#include "net/base/bell.hpp"
#include "net/base/utf8.hpp"
#include "net/formats/notification.hpp"
#include "net/sources/amqp/amqp_link.hpp"
#include "net/sources/amqp/recent_ids.hpp"
#include "net/sources/shm/shm_segment.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tessera {

/// What keyframes of a broker, and what is set aside, are said to come from.
inline constexpr const char* amqp_kind = "amqp";

/// One message from the broker, from its delivery to its acknowledgement. It is with one thread at a time.
struct errand {
  using clock = std::chrono::steady_clock;

  uint64_t link = 0; ///< number of the connection it came by: its tag means nothing on another
  amqp_delivery message;
  clock::time_point received = clock::now();

  /// What the message says; for a keyframe that came inside of it, no more than its id.
  notification note;
  bool understood = false;
  bool spent = false;                   ///< its body was given away, and nothing came of it: the broker must give it again
  size_t mark = 0;                      ///< of the message's bytes
  std::optional<keyframe> whole;        ///< the keyframe that came inside
  std::string segment_name;             ///< else where the keyframe is
  std::shared_ptr<shm_segment> segment; ///< ... as it was opened last

  unsigned tries = 0;
  clock::time_point due; ///< when it is tried again
  /// Since when it is unclear whether its segment is of use: it is missing, or is being written.
  std::optional<clock::time_point> in_doubt;
  bool last_try = false; ///< there is no more room for doubt
  bool waited = false;   ///< the message lay in the queue before we listened: its segment had its time
  bool told = false;     ///< that its segment may not be read was noted

  /// For people: routing key, and id.
  [[nodiscard]] std::string name() const {
    return "message " + printable(message.routing_key)
           + (note.many                    ? " of " + std::to_string(note.many->entries.size()) + " revisions"
              : understood                 ? " of " + printable(shown(note.id), 300)
              : message.message_id.empty() ? std::string{}
                                           : " " + printable(message.message_id));
  }
};
using errand_ptr = std::shared_ptr<errand>;

/// What keeps an errand from being done now.
enum class obstacle : uint8_t {
  none,
  shortage,   ///< ours: no descriptors, no memory, no disk, no time
  permission, ///< the segment may not be read
  doubt,      ///< the segment is missing, is being written, or was written to while it was read
};

/// How an attempt at an errand ended.
struct errand_result {
  errand_ptr what;
  verdict said;                       ///< with an obstacle, why
  obstacle hindered = obstacle::none; ///< then it is not over
  bool cleared = false;               ///< it is, its segment has gone, and only the broker does not know
};

/// What the connection's thread, the reader's thread and the sink's threads share. Completions keep it alive.
class errand_desk {
public:
  /// Results on their way here: whoever has one needs no memory to post it.
  using post_bag = std::list<errand_result>;
  /// From a completion, or instead of one.
  void post(errand_result r) {
    post_bag one;
    one.push_back(std::move(r));
    post(one);
  }
  /// Takes all that is in the bag.
  void post(post_bag& some) {
    {
      std::lock_guard lock(mutex_);
      results_.splice(results_.end(), some);
    }
    ring.ring();
  }
  /// The sink is of no use any more.
  void fail(std::string why) {
    {
      std::lock_guard lock(mutex_);
      failure_ = std::move(why);
    }
    ring.ring();
  }
  /// Throws std::runtime_error if fail() was called.
  post_bag take() {
    ring.quiet();
    std::lock_guard lock(mutex_);
    if (failure_)
      throw std::runtime_error(*failure_);
    return std::exchange(results_, {});
  }

  // Messages whose keyframes went in lately, and were not taken out by a later message.
  void remember(const errand& e) {
    std::lock_guard lock(mutex_);
    recent_.add(e.note.id, e.mark);
  }
  void forget(const keyframe_id& id) {
    std::lock_guard lock(mutex_);
    recent_.remove(id);
  }
  /// Whether it is one of these again: the broker says so, or it came so soon after that its producer will have repeated it.
  /// Later nobody here can tell whether the keyframe is still in the map: it may have been taken out by other ways.
  [[nodiscard]] bool remembers(const errand& e) {
    std::lock_guard lock(mutex_);
    return recent_.contains(e.note.id, e.mark,
                            e.message.redelivered ? errand::clock::time_point::min() : e.received - repeated_within);
  }

  bell ring;
  std::atomic<int> offered = 0; ///< errands that the sink has

private:
  static constexpr size_t remembered_ids = 4096;
  static constexpr std::chrono::seconds repeated_within{60};
  std::mutex mutex_;
  post_bag results_;
  std::optional<std::string> failure_;
  recent_ids recent_{remembered_ids};
};

/// Errands from the connection's thread to the reader's; the broker's prefetch bounds how many there are.
class errand_queue {
public:
  void put(errand_ptr e) {
    {
      std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(e));
    }
    filled_.notify_one();
  }
  /// Waits for one; null after a stop.
  errand_ptr take(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    if (!filled_.wait(lock, stop, [&] { return !waiting_.empty(); }) || stop.stop_requested())
      return nullptr;
    auto e = std::move(waiting_.front());
    waiting_.pop_front();
    return e;
  }
  std::deque<errand_ptr> take_all() {
    std::lock_guard lock(mutex_);
    return std::exchange(waiting_, {});
  }

private:
  std::mutex mutex_;
  std::condition_variable_any filled_;
  std::deque<errand_ptr> waiting_;
};

/// Keeps the messages of one id in their order: a revision does not overtake the keyframe that is still being tried. One about
/// many keyframes goes alone: after all before it, and before all after it.
///
/// Threads: any.
class errand_lanes {
public:
  /// Lets the first of its id pass, and returns true; others wait behind it. Also passes behind one that was dropped.
  bool enter(const errand_ptr& e) {
    std::lock_guard lock(mutex_);
    const auto now = behind_all_.empty() ? place(e) : turn::later;
    if (now == turn::later)
      behind_all_.push_back(e);
    return now == turn::now;
  }
  /// One that passed is done: returns those that have passed now.
  std::vector<errand_ptr> leave(const errand_ptr& e) {
    std::lock_guard lock(mutex_);
    std::vector<errand_ptr> out;
    if (alone_.lock() == e) {
      alone_.reset();
    } else if (auto lane = lanes_.find(e->note.id); lane != lanes_.end() && lane->second.first.lock() == e) {
      if (lane->second.behind.empty()) {
        lanes_.erase(lane);
      } else {
        lane->second.first = out.emplace_back(std::move(lane->second.behind.front()));
        lane->second.behind.pop_front();
      }
    }
    for (; !behind_all_.empty(); behind_all_.pop_front()) {
      const auto now = place(behind_all_.front());
      if (now == turn::later)
        break;
      if (now == turn::now)
        out.push_back(behind_all_.front());
    }
    return out;
  }
  /// Takes out those that wait behind the first of an id, and those that wait for all before them.
  std::deque<errand_ptr> clear(const keyframe_id& id) {
    std::lock_guard lock(mutex_);
    auto lane = lanes_.find(id);
    auto out = lane == lanes_.end() ? std::deque<errand_ptr>{} : std::exchange(lane->second.behind, {});
    for (auto& e : std::exchange(behind_all_, {}))
      out.push_back(std::move(e));
    return out;
  }
  /// Lets go of all that wait, and of those that were dropped.
  void clear() {
    std::lock_guard lock(mutex_);
    behind_all_.clear();
    for (auto& [id, lane] : lanes_)
      lane.behind.clear();
    std::erase_if(lanes_, [](const auto& each) { return each.second.first.expired(); });
  }

private:
  enum class turn { now, in_lane, later };
  struct one_lane {
    std::weak_ptr<errand> first; ///< under way
    std::deque<errand_ptr> behind;
  };

  turn place(const errand_ptr& e) {
    if (!alone_.expired())
      return turn::later;
    if (e->note.many) {
      if (std::any_of(lanes_.begin(), lanes_.end(), [](const auto& each) { return !each.second.first.expired(); }))
        return turn::later;
      alone_ = e;
      return turn::now;
    }
    auto& lane = lanes_[e->note.id];
    if (!lane.first.expired()) {
      lane.behind.push_back(e);
      return turn::in_lane;
    }
    lane.first = e;
    return turn::now;
  }

  std::mutex mutex_;
  std::unordered_map<keyframe_id, one_lane> lanes_;
  std::weak_ptr<errand> alone_;       ///< one about many that is under way
  std::deque<errand_ptr> behind_all_; ///< what came after it; or one about many that waits for those before it, and what came
                                      ///< after that
};

} // namespace tessera
