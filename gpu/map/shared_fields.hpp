#pragma once

#include "gpu/fields.hpp"

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <vector>

namespace tessera {

/// What several devices say of one keyframe.
struct shared_report {
  take_report whole;          ///< stages and attempts are those of the slowest
  std::exception_ptr failure; ///< of one that did not take it
  bool in_part = false;       ///< others took it and could not be made to give it back: the map is lost
};

/// The devices that share a map, and take keyframes as one: all of them, or none.
class shared_fields {
public:
  /// In a thread of a device.
  using answer = std::function<void(shared_report)>;

  /// Throws std::invalid_argument if there is none, or more than most_shares.
  explicit shared_fields(std::vector<std::shared_ptr<async_fields>> devices);

  /// Has a keyframe taken; `what.share` and `what.to_peers` are this function's. `in_turn`: one of the devices makes the rays,
  /// for its peers as well, each keyframe another one, which costs the host least where many are under way; else all of them make
  /// them, which is over sooner. `done` must not throw or wait for another request.
  void take(take_request what, bool in_turn, answer done);
  [[nodiscard]] size_t size() const { return devices_.size(); }
  /// The device that has a region.
  [[nodiscard]] async_fields& of(region_key region) const;

private:
  struct taking;
  void take_in_turn(const std::shared_ptr<taking>& all, uint32_t first) const;
  [[nodiscard]] take_request part(const take_request& what, uint32_t device) const;
  void answered(const std::shared_ptr<taking>& all, uint32_t device, take_report report, const std::exception_ptr& failure) const;
  void undo(const std::shared_ptr<taking>& all) const;

  std::vector<std::shared_ptr<async_fields>> devices_;
  std::atomic<uint32_t> turn_ = 0;
};

} // namespace tessera
