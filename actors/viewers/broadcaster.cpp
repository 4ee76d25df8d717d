#include "actors/viewers/broadcaster.hpp"

#include "actors/base/instrumented.hpp"
#include "actors/regions/mesher.hpp"

namespace tessera {

namespace {

class broadcaster final : public instrumented<broadcaster_setup> {
public:
  broadcaster(caf::actor_config& cfg, actor_context context, broadcaster_config config)
    : instrumented(cfg, std::move(context), {role::broadcaster}), config_{std::move(config)} {}

  void on_exit() override {
    sessions_.clear();
    for (auto& [region, waiting] : std::exchange(askers_, {}))
      for (auto& one : waiting)
        one.deliver(caf::make_error(ec::restarting, std::string{"the broadcaster ended"}));
  }

  behavior_type make_behavior() override {
    set_down_handler([this](const caf::down_msg& down) { sessions_.erase(down.source); });
    return {
      [this](patch_atom, const patch& newest) {
        // Its region may have been called gone, under a version that is above this one.
        if (config_.whole && of_earlier_process(newest.version) && newest.triangles > 0 && !board_.find(newest.region))
          if (const auto maker = current_sender())
            return send(caf::actor_cast<mesher_setup>(maker), caf::put_atom::value, broadcaster_actor{this});
        if (!board_.put(newest))
          return;
        if (newest.triangles > 0)
          makers_[newest.region] = caf::actor_cast<caf::actor_addr>(current_sender());
        else
          makers_.erase(newest.region);
        auto& n = numbers();
        if (newest.encoded() || newest.triangles == 0) {
          n.patches.fetch_add(1, std::memory_order_relaxed);
          n.patch_bytes.fetch_add(newest.bytes(), std::memory_order_relaxed);
        }
        n.regions.store(static_cast<int64_t>(board_.regions()), std::memory_order_relaxed);
        n.vertices.store(static_cast<int64_t>(board_.vertices()), std::memory_order_relaxed);
        n.triangles.store(static_cast<int64_t>(board_.triangles()), std::memory_order_relaxed);
        for (const auto& [address, session] : sessions_)
          send(session, patch_atom::value, newest);
        answer(newest);
        keep_within_bounds();
        tell();
      },
      [this](camera_atom, const std::vector<camera>& changed) {
        board_.put(changed);
        for (const auto& [address, session] : sessions_)
          send(session, camera_atom::value, changed);
      },
      [this](join_atom, const session_actor& session, const subscribe&) {
        if (sessions_.emplace(session.address(), session).second)
          monitor(session);
        if (auto cameras = board_.cameras(); !cameras.empty())
          send(session, camera_atom::value, std::move(cameras));
        send(caf::actor_cast<joining_session>(session),
             board_picture{config_.epoch, board_.now(), config_.encode, config_.whole});
        tell();
        return config_.epoch;
      },
      [this](leave_atom, const session_actor& session) {
        if (sessions_.erase(session.address()) > 0)
          demonitor(session.address());
      },
      [this](want_atom, const session_actor& session, region_key region, const patch_form& form) {
        if (const auto* known = board_.find(region); known && known->in(form))
          send(session, patch_atom::value, *known);
        else if (known)
          want(*known, form);
      },
      [this](const session_actor& session, const lost& by_viewer) {
        for (const auto& region : by_viewer.regions)
          if (const auto* known = board_.find(region))
            send(session, patch_atom::value, *known);
      },
      [this](patch_atom, region_key region) -> caf::result<patch> {
        const auto* known = board_.find(region);
        if (!known || known->frame)
          return board_.get(region);
        auto promise = make_response_promise<caf::typed_response_promise<patch>>();
        askers_[region].push_back(promise);
        want(*known, {});
        return promise;
      },
      [this](list_atom) { return board_.all(); },
      [this](refill_atom, bool begins) {
        if (begins || std::exchange(config_.whole, true))
          return;
        if (config_.told)
          config_.told->forget_kept();
        for (const auto& [address, session] : sessions_)
          send(caf::actor_cast<joining_session>(session), refill_atom::value, false);
      },
      [this](caf::update_atom, region_key region, uint64_t held) {
        // Only once for each region, whatever viewers say that they hold.
        if (const auto* known = board_.find(region); known && known->version < held && of_earlier_process(held))
          if (const auto alive = maker_of(region))
            send(caf::actor_cast<mesher_setup>(alive), caf::put_atom::value, broadcaster_actor{this});
      },
      [this](camera_atom) { return board_.cameras(); },
    };
  }

private:
  /// Has it encoded by its mesher. If that died, its successor tells of a newer one.
  void want(const patch& offered, const patch_form& form) {
    if (const auto alive = maker_of(offered.region))
      send(caf::actor_cast<mesher_actor>(alive), want_atom::value, offered.version, form);
  }

  [[nodiscard]] bool of_earlier_process(uint64_t version) const {
    return config_.told && version >> 32 <= config_.told->first_number();
  }

  /// Lets go of what was encoded the longest ago; sessions have what they are about to send.
  void keep_within_bounds() {
    while (config_.most_bytes > 0 && board_.bytes() > config_.most_bytes) {
      const auto region = board_.let_frames_go();
      if (!region)
        break;
      if (const auto alive = maker_of(*region))
        send(caf::actor_cast<mesher_setup>(alive), caf::delete_atom::value);
    }
    numbers().held_patch_bytes.store(static_cast<int64_t>(board_.bytes()), std::memory_order_relaxed);
  }

  /// Null if it is dead.
  [[nodiscard]] caf::strong_actor_ptr maker_of(const region_key& region) const {
    const auto maker = makers_.find(region);
    return maker != makers_.end() ? caf::actor_cast<caf::strong_actor_ptr>(maker->second) : nullptr;
  }

  void answer(const patch& newest) {
    const auto waiting = askers_.find(newest.region);
    if (waiting == askers_.end())
      return;
    if (!newest.frame && newest.triangles > 0)
      return want(newest, {}); // the mesher that was asked may have died
    for (auto& one : waiting->second)
      one.deliver(newest);
    askers_.erase(waiting);
  }

  void tell() {
    record().set_detail(std::to_string(board_.regions()) + " regions in " + std::to_string(board_.bytes()) + " bytes, for "
                        + std::to_string(sessions_.size()) + " sessions");
  }

  broadcaster_config config_;
  patch_board board_;
  std::unordered_map<region_key, caf::actor_addr> makers_;                                 ///< of what the board holds
  std::unordered_map<region_key, std::vector<caf::typed_response_promise<patch>>> askers_; ///< until it is encoded
  std::map<caf::actor_addr, session_actor> sessions_;
};

} // namespace

broadcaster_setup spawn_broadcaster(caf::actor_system& system, actor_context context, broadcaster_config config) {
  return system.spawn<broadcaster>(std::move(context), std::move(config));
}

} // namespace tessera
