#pragma once

#include "actors/base/actor_context.hpp"
#include "actors/regions/encoder.hpp"

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace tessera {

/// Encodes surfaces in threads of its own, the oldest first, so that no actor and no thread of CAF is held up for the
/// milliseconds that a large one takes. Listed among the actors as "encoder pool": what waits is its mailbox.
///
/// Each mesher has one surface here at most, so there are never more than regions. Threads: any; stop() and the destructor wait
/// for the pool's own, and so must not run in one of those: actors, which may be destroyed there, hold a weak pointer.
class encoder_pool {
public:
  /// Takes the patch, or what the encoder threw. Called in a thread of the pool; must not throw.
  using done = std::function<void(patch encoded, std::exception_ptr failure)>;

  /// With no threads, whoever calls work() encodes. `id`: under which it is listed. Without `cells` all surfaces are Draco's.
  encoder_pool(encoder_function encode, uint32_t threads, const actor_context& context, uint64_t id, cells_function cells = {});
  encoder_pool(const encoder_pool&) = delete;
  encoder_pool& operator=(const encoder_pool&) = delete;
  ~encoder_pool();

  /// What is to be encoded, and in which forms.
  struct order {
    region_mesh surface;
    uint64_t keyframe_ns = 0, received_ns = 0;
    std::vector<patch_form> forms{{}};
    std::shared_ptr<block_history> changes{}; ///< the region's, for forms with cells: the pool's alone until it answers
  };
  /// Has a surface encoded. Not answered if the pool stops before its turn comes.
  void encode(order what, done answer);

  /// Encodes what has waited longest, here and now; false if nothing waits.
  bool work();

  /// Ends the threads once they have encoded what they are working on; forgets what waits, and all that comes later.
  void stop();

private:
  struct task {
    order what;
    done answer;
    uint64_t since; ///< by the cycle clock
  };

  void run();
  [[nodiscard]] task take();
  void perform(task next);
  [[nodiscard]] patch encoded(const order& what) const;
  void tell();

  encoder_function encode_;
  cells_function cells_;
  std::shared_ptr<telemetry> numbers_;
  std::shared_ptr<actor_record> record_;
  std::mutex mutex_; ///< guards all that follows, and what the record counts
  std::condition_variable changed_;
  std::deque<task> waiting_;
  uint32_t under_way_ = 0;
  bool stopped_ = false;
  std::vector<std::jthread> threads_;
};

} // namespace tessera
