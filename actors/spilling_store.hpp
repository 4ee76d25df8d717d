#pragma once

#include "actors/keyframe_store.hpp"
#include "actors/page_file.hpp"

#include <list>
#include <memory>
#include <unordered_map>

namespace tessera {

/// Keeps rays in memory up to a cap, and the oldest ones beyond it in a temporary file that is made when it is first needed.
/// The index (about 300 bytes a keyframe) always stays in memory.
class spilling_store final : public keyframe_store {
public:
  /// Throws std::system_error if `folder` cannot be written (empty: the system's folder for temporary files).
  spilling_store(uint64_t cap_bytes, std::string folder);

  bool put(stored_keyframe frame) override;
  [[nodiscard]] std::optional<stored_keyframe> get(const keyframe_id& id) const override;
  [[nodiscard]] bool contains(const keyframe_id& id) const override { return index_.contains(id); }
  bool erase(const keyframe_id& id) override;
  bool set_pose(const keyframe_id& id, const pose& world_from_camera) override;
  [[nodiscard]] std::vector<keyframe_id> ids() const override;
  void for_each(const std::function<void(const stored_keyframe&)>& visit) const override;
  [[nodiscard]] store_usage usage() const override;

private:
  struct entry {
    stored_keyframe frame; ///< rays are null while they are in the file
    uint64_t rays = 0;
    std::vector<uint32_t> pages;
    [[nodiscard]] bool in_memory() const { return frame.rays.rays != nullptr; }
    [[nodiscard]] uint64_t bytes() const { return rays * sizeof(ray); }
  };
  using entries = std::list<entry>;

  [[nodiscard]] stored_keyframe load(const entry& e) const;
  void spill();
  page_file& file();

  uint64_t cap_bytes_;
  std::string folder_;
  entries order_; ///< oldest first: those in the file, then those in memory
  std::unordered_map<keyframe_id, entries::iterator> index_;
  std::unique_ptr<page_file> file_;
  uint64_t memory_bytes_ = 0, rays_ = 0;
  entries::iterator oldest_in_memory_; ///< end() if none
};

} // namespace tessera
