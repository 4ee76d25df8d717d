#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <functional>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

namespace tessera {

/// The line of what devices are to take. Several takes are under way at once; a quiet moment is when none is, and what waits for
/// one comes before what was not begun.
template <class Take>
class take_line {
public:
  void add(Take t) { waiting_.push_back(std::move(t)); }
  void add_first(Take t) { waiting_.push_front(std::move(t)); }
  /// Not while a quiet moment is waited for.
  [[nodiscard]] bool may_begin() const { return acts_.empty(); }
  /// Takes out the next to be begun; nothing while a quiet moment is waited for.
  std::optional<Take> next() {
    if (waiting_.empty() || !may_begin())
      return {};
    std::optional out{std::move(waiting_.front())};
    waiting_.pop_front();
    return out;
  }
  /// Takes out those for which that holds.
  template <class Predicate>
  std::vector<Take> take_out(Predicate holds) {
    const auto gone = std::stable_partition(waiting_.begin(), waiting_.end(), [&](const Take& t) { return !holds(t); });
    std::vector<Take> out{std::make_move_iterator(gone), std::make_move_iterator(waiting_.end())};
    waiting_.erase(gone, waiting_.end());
    return out;
  }

  /// One that was taken out, or one that does not wait in line.
  void begin() { ++under_way_; }
  void end() { --under_way_; }
  [[nodiscard]] size_t under_way() const { return under_way_; }
  /// Whether there is more to do than one take.
  [[nodiscard]] bool pressed() const { return under_way_ > 1 || !waiting_.empty(); }

  void when_quiet(std::function<void()> act) { acts_.push_back(std::move(act)); }
  [[nodiscard]] bool quiet() const { return under_way_ == 0; }
  /// What waited for a quiet moment. Nothing waits any more.
  std::vector<std::function<void()>> acts() { return std::exchange(acts_, {}); }

  void clear() { *this = {}; }

private:
  std::deque<Take> waiting_;
  std::vector<std::function<void()>> acts_;
  size_t under_way_ = 0;
};

} // namespace tessera
