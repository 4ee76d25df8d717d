#include "net/server/status_shelf.hpp"

#include "net/server/json_status.hpp"
#include "net/server/server_core.hpp"

#include <stdexcept>
#include <utility>

namespace tessera {

/// A question that is under way, and who waits for the answer. Then the next one's turn has come.
class status_shelf::job {
public:
  job(std::shared_ptr<server_core> core, resource what, readers all)
    : core_{std::move(core)}, what_{what}, all_{std::move(all)} {}
  job(const job&) = delete;
  job& operator=(const job&) = delete;
  ~job() {
    { const auto left = std::move(all_); } // are answered, if they were not
    core_->statuses.next(core_, what_);
  }

  const std::shared_ptr<server_core>& core() const { return core_; }
  void refuse(std::string_view code, const std::string& why) { all_.refuse(code, why); }

  void answer(std::string text) {
    struct counted {
      held_bytes::share share;
      const std::string text;
    };
    const auto& held = core_->statuses.held_;
    text += '\n';
    const auto made = std::make_shared<const counted>(counted{held.count(text.size()), std::move(text)});
    all_.answer([&] {
      auto out = json_reply({});
      out.body = shared_bytes{made, std::as_bytes(std::span{made->text})};
      out.wanted = held.wanted();
      return out;
    });
  }

private:
  const std::shared_ptr<server_core> core_;
  const resource what_;
  readers all_;
};

status_shelf::queue& status_shelf::of(resource what) {
  switch (what) {
  case resource::map:
    return lines_[0];
  case resource::regions:
    return lines_[1];
  case resource::actors:
    return lines_[2];
  case resource::cameras:
    return lines_[3];
  default:
    throw std::logic_error("no actor tells of that");
  }
}

void status_shelf::ask_for(const std::shared_ptr<server_core>& core, resource what, const return_address<strand>& back,
                           reply_function reply) {
  {
    const std::lock_guard lock{mutex_};
    auto& line = of(what);
    line.waiting.add(back, std::move(reply));
    if (line.busy)
      return;
  }
  next(core, what);
}

template <class Answer, class Handle, class Atom>
void status_shelf::gather(const std::shared_ptr<job>& work, const char* whom, const Handle& handle, Atom atom) {
  const auto& core = work->core();
  const return_address<strand> here{core->io, asio::make_strand(*core->io)};
  ask<Answer>(
    core->system, here, core->config.timeouts.ask, handle,
    [work, whom](std::optional<Answer> answer, const std::string& why) {
      if (!answer)
        return work->refuse("unavailable", std::string(whom) + " did not answer: " + why);
      try {
        work->answer(json_text(*answer));
      } catch (const std::bad_alloc&) {
        answer.reset();
        work->refuse("no_memory", "there is no memory for this now");
      }
    },
    atom);
}

readers status_shelf::take_turn(resource what) {
  const std::lock_guard lock{mutex_};
  auto& line = of(what);
  line.busy = !line.waiting.empty();
  return std::move(line.waiting);
}

void status_shelf::next(const std::shared_ptr<server_core>& core, resource what) noexcept {
  for (;;) {
    auto all = take_turn(what);
    if (all.empty())
      return;
    try {
      return begin(std::make_shared<job>(core, what, std::move(all)), what);
    } catch (const std::bad_alloc&) { // there is no job: they are answered as `all` goes, and the next ones' turn has come
    }
  }
}

void status_shelf::begin(const std::shared_ptr<job>& work, resource what) noexcept {
  try {
    if (work->core()->stopping)
      return work->refuse("closing", "the service is shutting down");
    if (!held_.has_room())
      return work->refuse("busy", "answers that are still being sent hold " + std::to_string(held_.now()) + " bytes; at most "
                                    + std::to_string(held_.most()) + " may be when another is made");
    const auto& running = work->core()->running;
    switch (what) {
    case resource::map:
      return gather<map_status>(work, "the partitioner", running.partitioner.get(), status_atom::value);
    case resource::regions:
      return gather<std::vector<region_status>>(work, "the partitioner", running.partitioner.get(), list_atom::value);
    case resource::actors:
      return gather<std::vector<actor_status>>(work, "the inspector", running.inspector.get(), status_atom::value);
    default:
      return gather<std::vector<camera>>(work, "the broadcaster", running.broadcaster.get(), camera_atom::value);
    }
  } catch (const std::bad_alloc&) { // they are answered as the job goes
  }
}

} // namespace tessera
