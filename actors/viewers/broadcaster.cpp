#include "actors/viewers/broadcaster.hpp"

#include "actors/base/instrumented.hpp"

namespace tessera {

namespace {

class broadcaster final : public instrumented<broadcaster_actor> {
public:
  broadcaster(caf::actor_config& cfg, actor_context context, std::string epoch, encoder_function encode)
    : instrumented(cfg, std::move(context), {role::broadcaster}), epoch_{std::move(epoch)}, encode_{std::move(encode)} {}

  void on_exit() override { sessions_.clear(); }

  behavior_type make_behavior() override {
    set_down_handler([this](const caf::down_msg& down) { sessions_.erase(down.source); });
    return {
      [this](patch_atom, const patch& newest) {
        if (!board_.put(newest))
          return;
        auto& n = numbers();
        n.patches.fetch_add(1, std::memory_order_relaxed);
        n.patch_bytes.fetch_add(newest.frame ? newest.frame->size() : 0, std::memory_order_relaxed);
        n.regions.store(static_cast<int64_t>(board_.regions()), std::memory_order_relaxed);
        n.vertices.store(static_cast<int64_t>(board_.vertices()), std::memory_order_relaxed);
        n.triangles.store(static_cast<int64_t>(board_.triangles()), std::memory_order_relaxed);
        n.held_patch_bytes.store(static_cast<int64_t>(board_.bytes()), std::memory_order_relaxed);
        for (const auto& [address, session] : sessions_)
          send(session, patch_atom::value, newest);
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
        send(caf::actor_cast<joining_session>(session), board_picture{epoch_, board_.now(), encode_});
        tell();
        return epoch_;
      },
      [this](leave_atom, const session_actor& session) {
        if (sessions_.erase(session.address()) > 0)
          demonitor(session.address());
      },
      [this](patch_atom, region_key region) { return board_.get(region); },
      [this](list_atom) { return board_.all(); },
      [this](camera_atom) { return board_.cameras(); },
    };
  }

private:
  void tell() {
    record().set_detail(std::to_string(board_.regions()) + " regions in " + std::to_string(board_.bytes()) + " bytes, for "
                        + std::to_string(sessions_.size()) + " sessions");
  }

  std::string epoch_;
  encoder_function encode_;
  patch_board board_;
  std::map<caf::actor_addr, session_actor> sessions_;
};

} // namespace

broadcaster_actor spawn_broadcaster(caf::actor_system& system, actor_context context, std::string epoch,
                                    encoder_function encode) {
  return system.spawn<broadcaster>(std::move(context), std::move(epoch), std::move(encode));
}

} // namespace tessera
