#pragma once

#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

namespace tessera {

/// Something that blocks for as long as it likes and that nothing can interrupt, such as a look-up of a name or a handshake, done
/// in a thread of its own. Who does not want to wait any longer destroys the call: its stop token says so to the work, the thread
/// ends by itself, perhaps much later, and what came of it is dropped. So the work may only touch what it owns.
///
/// Threads: one.
template <class T>
class side_call {
public:
  /// Throws std::system_error if there can be no further thread.
  explicit side_call(std::function<T(const std::stop_token& given_up)> work) {
    std::thread([work = std::move(work), shared = shared_]() mutable {
      std::optional<T> value;
      std::exception_ptr failure;
      try {
        value.emplace(work(shared->given_up.get_token()));
      } catch (...) {
        failure = std::current_exception();
      }
      work = nullptr; // what it owns ends here, and not with the last who looks at the result
      const std::lock_guard lock(shared->mutex);
      shared->value = std::move(value);
      shared->failure = failure;
      shared->done = true;
      shared->changed.notify_all();
    }).detach();
  }
  ~side_call() {
    if (shared_)
      shared_->given_up.request_stop();
  }
  side_call(side_call&&) noexcept = default;
  side_call& operator=(side_call&&) = delete;

  /// Waits for the end, so long at most, and not beyond a stop. Returns whether it has ended.
  [[nodiscard]] bool wait_for(std::chrono::milliseconds limit, const std::stop_token& stop) const {
    std::unique_lock lock(shared_->mutex);
    return shared_->changed.wait_for(lock, stop, limit, [this] { return shared_->done; });
  }
  /// What the work returned, or throws what it threw. Once, and only after its end.
  [[nodiscard]] T take() {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->failure)
      std::rethrow_exception(shared_->failure);
    return std::move(*shared_->value);
  }

private:
  struct shared_state {
    std::mutex mutex;
    std::condition_variable_any changed;
    bool done = false;
    std::optional<T> value;
    std::exception_ptr failure;
    std::stop_source given_up;
  };
  std::shared_ptr<shared_state> shared_ = std::make_shared<shared_state>();
};

} // namespace tessera
