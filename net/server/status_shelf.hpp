#pragma once

#include "net/server/held_bytes.hpp"
#include "net/server/http_target.hpp"
#include "net/server/readers.hpp"

#include <array>
#include <memory>
#include <mutex>

namespace tessera {

struct server_core;

/// What actors tell of themselves and the map, in JSON. Each actor is asked, and its answer written, once for all who ask
/// meanwhile: they wait for the next one, which shows what was accepted before they asked. It is in memory once, however many
/// read it and however slowly. Threads: any.
class status_shelf {
public:
  /// While answers that are still being sent hold more than `most_bytes`, no other is made.
  explicit status_shelf(uint64_t most_bytes) : held_{most_bytes} {}

  /// Answers with `what`, one of the resources map, regions, actors, cameras, or why not; `reply` is called once, through `back`.
  void ask_for(const std::shared_ptr<server_core>& core, resource what, const return_address<strand>& back, reply_function reply);

private:
  struct queue {
    bool busy = false;
    readers waiting;
  };
  class job;
  template <class Answer, class Handle, class Atom>
  static void gather(const std::shared_ptr<job>& work, const char* whom, const Handle& handle, Atom atom);

  queue& of(resource what);
  readers take_turn(resource what);
  void next(const std::shared_ptr<server_core>& core, resource what) noexcept;
  void begin(const std::shared_ptr<job>& work, resource what) noexcept;

  std::mutex mutex_;
  std::array<queue, 4> lines_;
  held_bytes held_;
};

} // namespace tessera
