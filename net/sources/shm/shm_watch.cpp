#include "net/sources/shm/shm_watch.hpp"

#include "net/base/utf8.hpp"
#include "net/clients/cpp/producer.hpp"
#include "net/sources/shm/abandoned_segments.hpp"
#include "net/sources/shm/segment_folder.hpp"
#include "net/sources/shm/segment_taker.hpp"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

namespace tessera {

namespace {

using steady = std::chrono::steady_clock;

/// A producer that lets go of a file that it was writing has renamed it by then, or is gone.
constexpr auto grace = std::chrono::seconds(1);

/// Hears what happens in the folder of segments, and has those of the prefix taken.
class shm_watch final : public source {
public:
  shm_watch(const std::string& prefix, const shm_options& options, const segment_options& segments, shortage_listener on_shortage)
    : prefix_(prefix.starts_with('/') ? prefix : "/" + prefix), options_(options), segments_(segments),
      on_shortage_(std::move(on_shortage)) {
    if (prefix_.find('/', 1) != std::string::npos || prefix_.find("..") != std::string::npos || prefix_.size() < 2
        || prefix_.size() > 200)
      throw std::invalid_argument("shared memory prefix is '" + printable(prefix_)
                                  + "', must be a slash and then one to 199 bytes without a slash or '..'");
  }

  [[nodiscard]] std::string kind() const override { return shm_kind; }
  [[nodiscard]] std::string where() const override { return "shm:" + prefix_; }

  void run(keyframe_sink& sink, std::stop_token stop) override {
    if (!taker_)
      taker_.emplace(prefix_, options_, segments_, on_shortage_);
    const auto desk = taker_->desk();
    folder_watch folder; // before the first look: nothing falls between
    const struct dismiss {
      segment_taker& taker;
      ~dismiss() { taker.stop(); }
    } at_the_end{*taker_};
    taker_->start(sink);
    std::stop_callback wake(stop, [desk] { desk->ring.ring(); });
    clear();
    look_around(folder);
    while (!stop.stop_requested()) {
      bool whole = folder.read([&](std::string_view file, uint32_t mask) { on_event(file, mask); });
      if (!whole)
        look_around(folder); // many segments at once: some events were lost
      if (clear_at_ && steady::now() >= *clear_at_)
        clear();
      taker_->act_on_verdicts(stop);
      if (stop.stop_requested())
        break; // its ring may be quiet already: act_on_verdicts() has heard it
      if (taker_->go_on())
        continue;
      pollfd files[2] = {{folder.fd(), POLLIN, 0}, {desk->ring.fd(), POLLIN, 0}};
      ::poll(files, 2, milliseconds_to_sleep());
    }
    taker_->act_on_verdicts(stop);
  }

private:
  [[nodiscard]] bool ours(std::string_view file) const {
    auto prefix = std::string_view(prefix_).substr(1);
    return file.size() > prefix.size() && file.starts_with(prefix);
  }

  void on_event(std::string_view file, uint32_t mask) {
    if (mask & IN_CLOSE_WRITE && file.starts_with(producer::hidden_prefix) && !clear_at_)
      clear_at_ = steady::now() + grace;
    if (!ours(file))
      return;
    auto name = "/" + std::string(file);
    auto& agenda = taker_->agenda();
    if (mask & (IN_DELETE | IN_MOVED_FROM)) {
      taker_->forget(name);
    } else if (mask & IN_ATTRIB) { // what could not be read may be readable now
      agenda.hurry(name);
    } else if (mask & IN_MOVED_TO) {
      agenda.note(name, true);
    } else if (mask & IN_CLOSE_WRITE) {
      // Its writer may have let go of what it renamed; or another wrote through a mapping. Only the content tells.
      agenda.note(name, true).written = true;
    } else {
      agenda.note(name, false);
    }
  }

  [[nodiscard]] int milliseconds_to_sleep() const {
    auto next = clear_at_;
    if (const auto due = taker_->next_due())
      next = next ? std::min(*next, *due) : *due;
    if (!next)
      return -1;
    return static_cast<int>(
      std::chrono::ceil<std::chrono::milliseconds>(std::max(*next - steady::now(), steady::duration{})).count());
  }

  void clear() {
    clear_at_.reset();
    remove_abandoned_segments();
  }

  void look_around(folder_watch& folder) {
    std::vector<std::pair<timespec, std::string>> found;
    folder.list([&](std::string_view file, const struct stat& s) {
      if (ours(file))
        found.emplace_back(s.st_mtim, "/" + std::string(file));
    });
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
      auto key = [](const auto& f) { return std::tuple(f.first.tv_sec, f.first.tv_nsec, std::string_view(f.second)); };
      return key(a) < key(b);
    });
    // Whether somebody still writes to one of them cannot be seen: each must hold still for a while.
    for (const auto& [time, name] : found)
      if (taker_->agenda().find(name) == nullptr)
        taker_->agenda().note(name, false);
  }

  const std::string prefix_;
  const shm_options options_;
  const segment_options segments_;
  const shortage_listener on_shortage_;
  std::optional<segment_taker> taker_; ///< from the first run on: it takes a descriptor
  std::optional<steady::time_point> clear_at_;
};

} // namespace

std::unique_ptr<source> make_shm_watch(const std::string& prefix, const shm_options& options, const segment_options& segments,
                                       shortage_listener on_shortage) {
  return std::make_unique<shm_watch>(prefix, options, segments, std::move(on_shortage));
}

} // namespace tessera
