#pragma once
// A viewer who wants every surface that it hears of, at once.

#include "actors/viewers/broadcaster.hpp"

#include "toy_service.hpp"

#include <caf/all.hpp>

namespace tessera::toy {

class eager_viewer final : public joining_session::base {
public:
  eager_viewer(caf::actor_config& cfg, broadcaster_actor broadcaster)
    : joining_session::base(cfg), broadcaster_{std::move(broadcaster)} {}

  void on_exit() override { broadcaster_ = nullptr; }

  behavior_type make_behavior() override {
    request(broadcaster_, caf::infinite, join_atom::value, session_actor{this}, subscribe{}).then([](const std::string&) {});
    return {
      [this](patch_atom, const patch& newest) { look(newest); },
      [](camera_atom, const std::vector<camera>&) {},
      [](const subscribe&) {},
      [](const view&) {},
      [](const ack&) {},
      [](const lost&) {},
      [](sent_atom) {},
      [](refill_atom, bool) {},
      [this](const board_picture& now) {
        for (const auto& shard : now.patches)
          if (shard)
            for (const auto& [region, newest] : *shard)
              look(newest);
      },
    };
  }

private:
  void look(const patch& newest) {
    if (!newest.frame && newest.triangles > 0)
      send(broadcaster_, want_atom::value, session_actor{this}, newest.region, patch_form{});
  }

  broadcaster_actor broadcaster_;
};

/// Such a viewer, while this is kept.
class watcher {
public:
  explicit watcher(stepped_service& s)
    : service_{&s}, viewer_{caf::actor_cast<caf::actor>(s.system.spawn<eager_viewer>(s.running.broadcaster.get()))} {
    s.run();
  }
  watcher(const watcher&) = delete;
  watcher& operator=(const watcher&) = delete;
  ~watcher() {
    caf::anon_send_exit(viewer_, caf::exit_reason::user_shutdown);
    viewer_ = nullptr;
    service_->run();
  }

private:
  stepped_service* service_;
  caf::actor viewer_;
};

} // namespace tessera::toy
