#pragma once
// A keyframe store that fails as a full disk, a broken one, or a process without memory would.

#include "actors/spilling_store.hpp"

#include <new>
#include <system_error>

namespace tessera::toy {

class faulty_store final : public keyframe_store {
public:
  enum class fault { none, disk_full, unreadable, no_memory };

  /// What happens to whoever puts something in, and to whoever reads.
  fault putting = fault::none, reading = fault::none;
  mutable uint64_t reads = 0;

  bool put(stored_keyframe frame) override {
    fail(putting);
    return store_.put(std::move(frame));
  }
  [[nodiscard]] std::optional<stored_keyframe> get(const keyframe_id& id) const override {
    ++reads;
    fail(reading);
    return store_.get(id);
  }
  [[nodiscard]] bool contains(const keyframe_id& id) const override { return store_.contains(id); }
  bool erase(const keyframe_id& id) override { return store_.erase(id); }
  bool set_pose(const keyframe_id& id, const pose& to) override { return store_.set_pose(id, to); }
  [[nodiscard]] std::vector<keyframe_id> ids() const override { return store_.ids(); }
  void for_each(const std::function<void(const stored_keyframe&)>& visit) const override { store_.for_each(visit); }
  [[nodiscard]] store_usage usage() const override { return store_.usage(); }

private:
  static void fail(fault how) {
    if (how == fault::disk_full)
      throw std::system_error(ENOSPC, std::generic_category(), "cannot write to the keyframe store's file");
    if (how == fault::unreadable)
      throw std::system_error(EIO, std::generic_category(), "cannot read the keyframe store's file");
    if (how == fault::no_memory)
      throw std::bad_alloc{};
  }

  spilling_store store_{uint64_t{1} << 30, ""};
};

} // namespace tessera::toy
