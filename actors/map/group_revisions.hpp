#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

namespace tessera {

/// The largest number of the moves of each group, which keyframes that come to it later have from the start: those of all groups
/// that have a live keyframe, and of others the newest.
class group_revisions {
public:
  group_revisions() = default;
  group_revisions(const group_revisions&) = delete;
  group_revisions& operator=(const group_revisions&) = delete;

  /// Nothing if none is known.
  [[nodiscard]] std::optional<uint64_t> find(const std::string& group) const;
  /// A group was moved under that number.
  void enter(const std::string& group, uint64_t number);
  /// A keyframe of the group is live from now on; is not any more. "" is no group.
  void came(const std::string& group);
  void went(const std::string& group);
  /// Lets go of groups without keyframes, beginning with the one that was moved, or lost its last keyframe, first, until so many
  /// are left of them.
  void keep_newest(size_t most);
  /// Of how many groups without keyframes a number is known.
  [[nodiscard]] size_t idle() const { return idle_.size(); }

private:
  struct entry {
    std::optional<uint64_t> largest{};
    uint64_t live = 0;  ///< its keyframes
    uint64_t since = 0; ///< its key in idle_; 0: it is not there
  };
  using entries = std::unordered_map<std::string, entry>;

  /// It has keyframes again, or is about to be entered as the newest of those without.
  void leave_idle(entry& its);
  void become_idle(const std::string& group, entry& its);

  entries of_;
  std::map<uint64_t, const std::string*> idle_; ///< a number and no keyframe, in that order; the groups are keys of of_
  uint64_t order_ = 0;
};

} // namespace tessera
