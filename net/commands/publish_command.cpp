#include "net/commands/publish_command.hpp"

#include "messages/names.hpp"
#include "net/commands/progress.hpp"

#include <iostream>
#include <stdexcept>
#include <utility>

namespace tessera {

namespace {

/// Names a session for keyframes that have none.
class session_sink final : public keyframe_sink {
public:
  session_sink(keyframe_sink& next, const std::string& session) : next_(next), session_(session) {}

  void offer(map_input what, completion done) override {
    if (auto& id = id_of(what); id.session.empty())
      id.session = session_;
    next_.offer(std::move(what), std::move(done));
  }
  void correct(correction what, completion done) override {
    for (auto& one : what.entries)
      if (one.group.empty() && one.id.session.empty())
        one.id.session = session_;
    next_.correct(std::move(what), std::move(done));
  }
  void set_aside(const std::string& source, const std::string& what, const std::string& reason) override {
    next_.set_aside(source, what, reason);
  }

private:
  keyframe_sink& next_;
  const std::string& session_;
};

} // namespace

int publish_command(const publish_setup& setup, std::stop_token stop) {
  if (auto fault = fault_of_session(setup.session))
    throw std::invalid_argument(*fault);
  const auto input = make_source(setup.source, setup.input);
  const auto output = make_publisher(setup.to, setup.output, stop);
  {
    progress_sink sink(*output, "publish", input->total(), setup.progress);
    session_sink named(sink, setup.session);
    input->run(named, stop);
  }
  const auto counts = output->so_far();
  std::cerr << "tessera: " << counts.published << " keyframes published to " << output->where();
  if (counts.duplicates > 0)
    std::cerr << ", " << counts.duplicates << " there already";
  if (counts.dropped > 0)
    std::cerr << ", " << counts.dropped << " dropped by the service, since newer ones came (its policy is newest)";
  if (counts.refused > 0)
    std::cerr << ", " << counts.refused << " refused";
  if (counts.undelivered > 0)
    std::cerr << ", " << counts.undelivered << " not delivered";
  if (counts.set_aside > 0)
    std::cerr << ", " << counts.set_aside << " set aside";
  std::cerr << '\n';
  const auto taken = counts.published + counts.duplicates + counts.dropped;
  return counts.refused > 0 || counts.undelivered > 0 || (taken == 0 && !stop.stop_requested()) ? 1 : 0;
}

} // namespace tessera
