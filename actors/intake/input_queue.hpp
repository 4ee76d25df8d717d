#pragma once

#include "messages/map_input.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

namespace tessera {

/// What ingest is asked, and the partitioner by it: about one keyframe, to take out all that match, or to move many.
using map_request = std::variant<map_input, keyframe_selection, correction>;

/// Requests on their way to an actor that may die, each with a `Reply` to whoever made it: those that wait, and those that were
/// given to the actor and are not answered. What a dead one did not answer goes to its successor first, in the old order.
///
/// Its owner does the asking:
///
///     while (const auto next = queue.next())
///       ... ask the actor for next->what; when it answers: if (auto reply = queue.answered(next->number, v)) ...
///
/// Only add() needs memory (and clear(), for what it returns): what was added is never lost for want of it.
///
/// Threads: one at a time.
template <class Reply>
class input_queue {
public:
  struct turn {
    uint64_t number;         ///< names it until it is answered; a successor is asked under another
    const map_request& what; ///< until it is answered, or the actor has a successor
  };

  /// `credit`: so many are given and not answered at once.
  explicit input_queue(size_t credit = std::numeric_limits<size_t>::max()) : credit_(credit) {}

  /// Throws std::bad_alloc; then neither was added.
  void add(map_request what, Reply reply) {
    const auto place = places_ + 1;
    waiting_.try_emplace(place, place, std::move(what), std::move(reply));
    places_ = place;
  }

  /// Gives the next one; nothing if none waits, there is no credit, or the actor is gone.
  std::optional<turn> next() {
    if (gone_ || waiting_.empty() || given_.size() >= credit_)
      return {};
    auto first = waiting_.extract(waiting_.begin());
    first.key() = ++numbers_;
    return turn{numbers_, given_.insert(std::move(first)).position->second.what};
  }

  /// Whether the answer under this number is still waited for. It is not if a successor was asked.
  [[nodiscard]] bool awaits(uint64_t number) const { return given_.contains(number); }

  /// The answer came: whom to tell it, unless it is not waited for. Corrects the verdict on a retraction that an actor which died
  /// had done.
  std::optional<Reply> answered(uint64_t number, verdict& v) {
    auto one = given_.extract(number);
    if (one.empty())
      return {};
    auto& request = one.mapped();
    if (request.again && v.what == outcome::unknown && is<retraction>(request))
      v = {};
    return std::move(request.reply);
  }

  /// The actor could not be asked: whom to tell.
  std::optional<Reply> forget(uint64_t number) {
    auto one = given_.extract(number);
    if (one.empty())
      return {};
    return std::move(one.mapped().reply);
  }

  /// The actor is gone: nothing is given until it has a successor.
  void lost() { gone_ = true; }

  /// The successor is there.
  void succeeded() {
    gone_ = false;
    while (!given_.empty()) {
      auto one = given_.extract(given_.begin());
      one.mapped().again = true;
      one.key() = one.mapped().place; // in the old order, before all that came later
      waiting_.insert(std::move(one));
    }
  }

  /// Lets the oldest keyframe go that waits, if more than `most` do; returns whom to tell. Revisions and retractions stay.
  std::optional<Reply> drop_oldest(size_t most) {
    if (static_cast<size_t>(std::ranges::count_if(waiting_, is_keyframe)) <= most)
      return {};
    const auto oldest = std::ranges::find_if(waiting_, is_keyframe);
    auto reply = std::move(oldest->second.reply);
    waiting_.erase(oldest);
    return reply;
  }

  /// Forgets everything; returns whom to tell, in the order in which it came.
  std::vector<Reply> clear() {
    std::vector<Reply> out;
    for (auto& [number, one] : given_)
      out.push_back(std::move(one.reply));
    for (auto& [place, one] : waiting_)
      out.push_back(std::move(one.reply));
    given_.clear();
    waiting_.clear();
    return out;
  }

  [[nodiscard]] size_t waiting() const { return waiting_.size(); }
  [[nodiscard]] size_t under_way() const { return given_.size(); }

private:
  struct entry {
    entry(uint64_t its_place, map_request asked, Reply to) : place{its_place}, what{std::move(asked)}, reply{std::move(to)} {}

    uint64_t place; ///< in the order in which all came
    map_request what;
    Reply reply;
    bool again = false; ///< it was given to one that died: what it asks for may have been done
  };

  using queue = std::map<uint64_t, entry>;

  template <class T>
  static bool is(const entry& request) {
    const auto* input = std::get_if<map_input>(&request.what);
    return input && std::holds_alternative<T>(*input);
  }
  static bool is_keyframe(const typename queue::value_type& one) { return is<keyframe>(one.second); }

  size_t credit_;
  queue waiting_; ///< by place
  queue given_;   ///< by number, in the order given; kept whole for a successor
  uint64_t places_ = 0, numbers_ = 0;
  bool gone_ = false;
};

} // namespace tessera
