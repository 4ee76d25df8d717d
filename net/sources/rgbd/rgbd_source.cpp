#include "net/sources/rgbd/rgbd_source.hpp"

#include "messages/clock.hpp"
#include "net/base/bad_input.hpp"
#include "net/base/pace.hpp"
#include "net/sources/ordered_prefetch.hpp"
#include "net/sources/rgbd/rgbd_folder.hpp"

#include <spdlog/spdlog.h>

#include <utility>

namespace tessera {

namespace {

class rgbd_source final : public source {
public:
  rgbd_source(const std::string& folder, const rgbd_options& options, const sequence_options& sequence,
              shortage_listener on_shortage)
    : folder_(folder), options_(options), sequence_(sequence), on_shortage_(std::move(on_shortage)) {
    options.validate();
  }

  [[nodiscard]] std::string kind() const override { return "rgbd"; }
  [[nodiscard]] std::string where() const override { return folder_.where().string(); }
  [[nodiscard]] std::optional<uint64_t> total() const override { return order().total(); }

  void run(keyframe_sink& sink, std::stop_token stop) override {
    auto todo = order();
    pace ticks(sequence_.rate, sequence_.seconds);
    struct loaded {
      keyframe frame;
      std::string what, reason; // why there is no frame
      bool lost = false;        // there is no pose, which is nobody's fault
    };
    ordered_prefetch<uint64_t, loaded> frames(
      sequence_.prefetch_threads, [&] { return stop.stop_requested() ? std::nullopt : todo.next(); },
      [&](uint64_t index) {
        const auto& files = folder_.frames()[index];
        loaded result;
        try {
          result.frame = through_shortages(on_shortage_, stop, where(), [&] { return folder_.load(files, options_); });
        } catch (const no_pose& e) {
          result.lost = true;
          result.reason = e.what();
        } catch (const bad_input& e) {
          result.what = (folder_.where() / files.name).string();
          result.reason = e.what();
        }
        return result;
      });
    uint64_t offered = 0, lost = 0, bad = 0;
    while (auto next = frames.next()) {
      if (next->lost) {
        if (lost++ == 0)
          spdlog::warn("source {}: {}: no pose, as where tracking was lost; such frames are skipped and counted", where(),
                       next->reason);
        continue;
      }
      if (!next->reason.empty()) {
        ++bad;
        sink.set_aside(kind(), next->what, next->reason);
        continue;
      }
      if (!ticks.wait(stop))
        break;
      next->frame.received_ns = system_ns();
      next->frame.source = kind();
      sink.offer(std::move(next->frame), [](const verdict&) {}); // The sink counts and tells what it refuses.
      ++offered;
    }
    if (lost + bad > 0)
      spdlog::info("source {}: {} of {} frames offered, {} skipped that have no pose, {} set aside", where(), offered,
                   offered + lost + bad, lost, bad);
  }

private:
  [[nodiscard]] frame_order order() const {
    auto frames = folder_.frames().size();
    return {frames, frames, sequence_};
  }

  rgbd_folder folder_;
  rgbd_options options_;
  sequence_options sequence_;
  shortage_listener on_shortage_;
};

} // namespace

std::unique_ptr<source> make_rgbd_source(const std::string& folder, const rgbd_options& options, const sequence_options& sequence,
                                         shortage_listener on_shortage) {
  return std::make_unique<rgbd_source>(folder, options, sequence, std::move(on_shortage));
}

} // namespace tessera
