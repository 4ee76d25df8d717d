#include "net/sources/synthetic/synthetic_source.hpp"

#include "messages/clock.hpp"
#include "net/base/pace.hpp"
#include "net/sources/ordered_prefetch.hpp"
#include "net/sources/synthetic/synthetic_scan.hpp"

#include <utility>

namespace tessera {

namespace {

class synthetic_source final : public source {
public:
  synthetic_source(const std::string& scene, const synthetic_options& options, const sequence_options& sequence,
                   shortage_listener on_shortage)
    : scene_(scene), scan_(scene, options), sequence_(sequence), on_shortage_(std::move(on_shortage)) {}

  [[nodiscard]] std::string kind() const override { return "synthetic"; }
  [[nodiscard]] std::string where() const override { return "synthetic:" + scene_; }
  [[nodiscard]] std::optional<uint64_t> total() const override { return order().total(); }

  void run(keyframe_sink& sink, std::stop_token stop) override {
    auto todo = order();
    pace ticks(sequence_.rate, sequence_.seconds);
    ordered_prefetch<uint64_t, keyframe> frames(
      sequence_.prefetch_threads, [&] { return stop.stop_requested() ? std::nullopt : todo.next(); },
      [&](uint64_t index) { return through_shortages(on_shortage_, stop, where(), [&] { return scan_.make(index); }); });
    while (auto frame = frames.next()) {
      if (!ticks.wait(stop))
        return;
      frame->received_ns = system_ns();
      frame->source = kind();
      sink.offer(std::move(*frame), [](const verdict&) {}); // The sink counts and tells what it refuses.
    }
  }

private:
  [[nodiscard]] frame_order order() const { return {scan_.total(), scan_.per_loop(), sequence_}; }

  std::string scene_;
  synthetic_scan scan_;
  sequence_options sequence_;
  shortage_listener on_shortage_;
};

} // namespace

std::unique_ptr<source> make_synthetic_source(const std::string& scene, const synthetic_options& options,
                                              const sequence_options& sequence, shortage_listener on_shortage) {
  return std::make_unique<synthetic_source>(scene, options, sequence, std::move(on_shortage));
}

} // namespace tessera
