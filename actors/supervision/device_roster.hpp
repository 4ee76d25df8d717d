#pragma once

#include "actors/map/placement.hpp"
#include "actors/supervision/life.hpp"

#include <map>

namespace tessera {

/// Which devices share the map as they fail one after another: what becomes of one that died, and who takes over.
class device_roster {
public:
  /// `spare`: the one that is used when no other is left, the CPU. If that one is lost, so is the service.
  device_roster(device_table first, device_id spare, life::time_point now);

  [[nodiscard]] const device_table& table() const { return table_; }
  /// Null if it is not used, or not any more.
  [[nodiscard]] const placed_device* find(device_id id) const;

  /// What is to be done about one that died.
  enum class remedy {
    restart, ///< a successor is started, and given to replace()
    retire,  ///< it is not used any more; see retire()
    give_up  ///< it is the spare one, and hopeless
  };
  remedy lost(device_id id, const caf::error& reason, life::time_point now);
  /// What is to be done if a successor cannot be started.
  [[nodiscard]] remedy cannot_restart(device_id id) const { return id == spare_ ? remedy::give_up : remedy::retire; }

  /// Its successor is there.
  void replace(device_id id, device_actor successor, life::time_point now);
  /// Gives its regions to those that are left. Answers whether there are any; else the spare one must take over.
  bool retire(device_id id);
  void take_over(device_actor spare, life::time_point now);

  [[nodiscard]] device_id spare() const { return spare_; }
  [[nodiscard]] const life& fared(device_id id) const { return lives_.at(id); }

private:
  device_table table_;
  device_id spare_;
  std::map<device_id, life> lives_; ///< of those in the table
};

} // namespace tessera
