#include "net/commands/publish_command.hpp"

#include "net/commands/progress.hpp"

#include <iostream>

namespace tessera {

int publish_command(const publish_setup& setup, std::stop_token stop) {
  const auto input = make_source(setup.source, setup.input);
  const auto output = make_publisher(setup.to, setup.output, stop);
  {
    progress_sink sink(*output, "publish", input->total(), setup.progress);
    input->run(sink, stop);
  }
  const auto counts = output->so_far();
  std::cerr << "tessera: " << counts.published << " keyframes published to " << output->where();
  if (counts.refused > 0)
    std::cerr << ", " << counts.refused << " refused";
  if (counts.set_aside > 0)
    std::cerr << ", " << counts.set_aside << " set aside";
  std::cerr << '\n';
  return counts.refused > 0 || (counts.published == 0 && !stop.stop_requested()) ? 1 : 0;
}

} // namespace tessera
