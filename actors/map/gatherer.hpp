#pragma once

#include "gpu/map_settings.hpp"
#include "messages/map.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

namespace tessera {

/// Something that is asked of all regions, after all changes that came before it.
struct gathering {
  uint64_t number; ///< names it
  bool of_meshes;  ///< else of statuses
  uint64_t after;  ///< changes up to this number must be done
  int attempt = 0; ///< answers to earlier ones no longer count
  int starts = 0;
  size_t left = 0;                  ///< answers to come
  uint64_t keyframes = 0, rays = 0; ///< that were live when it was asked: all of them are in what is summed
  std::map<region_key, region_status> statuses{};
  std::vector<region_mesh> meshes{}; ///< with the last answer sorted by region

  /// What a region's device said.
  void enter_field(const region_key& region, device_id device, const field_stats& field);
  /// What a region's mesher said. It does not know the field.
  void enter_surface(region_status said, device_id device);
};
using gathering_ptr = std::shared_ptr<gathering>;

/// Sums over all regions: which wait for their time, and which for answers. A whole attempt counts, or nothing of it.
class gatherer {
public:
  /// One that was started so often, since something died under it each time, is given up.
  static constexpr int most_starts = 100;

  gathering_ptr add(bool of_meshes, uint64_t after);
  [[nodiscard]] bool any_waiting() const { return !waiting_.empty(); }
  /// Takes out of those that wait those for which all changes are done: `done(number)` tells whether all up to that number are.
  template <class Done>
  std::vector<gathering_ptr> due(Done done) {
    std::vector<gathering_ptr> out;
    std::erase_if(waiting_, [&](const gathering_ptr& g) {
      const auto is_due = done(g->after);
      if (is_due)
        out.push_back(g);
      return is_due;
    });
    return out;
  }
  /// It waits again.
  void wait(const gathering_ptr& g) { waiting_.push_back(g); }

  /// Begins an attempt. One answer is to come, that of whoever asks, which is given when all are asked; add others to `left`.
  void start(const gathering_ptr& g);
  /// An answer came to an attempt: `enter()` enters it, if that attempt still counts. Returns whether it was the last.
  template <class Enter>
  bool answered(const gathering_ptr& g, int attempt, Enter enter) {
    if (g->attempt != attempt)
      return false;
    enter();
    if (--g->left > 0)
      return false;
    end(*g);
    return true;
  }
  /// The attempt no longer counts.
  void stop(const gathering_ptr& g);
  [[nodiscard]] std::vector<gathering_ptr> running() const { return running_; }
  void clear() { *this = {}; }

private:
  void end(gathering& g);

  std::vector<gathering_ptr> waiting_; ///< for their time
  std::vector<gathering_ptr> running_; ///< wait for answers
  uint64_t numbers_ = 0;
};

/// The map's status of its regions', but for what is known of keyframes.
map_status sum_of(const std::map<region_key, region_status>& regions, const map_settings& map);

} // namespace tessera
